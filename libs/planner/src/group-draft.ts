/** A stage as a search decides it. Devices by index. */
export interface StageDraft {
  readonly start: number;
  readonly end: number;
  readonly devices: readonly number[];
  readonly recompute: boolean;
}

/** A group as a search decides it: its stages in the order of the model. */
export interface GroupDraft {
  readonly microbatch: number;
  readonly stages: readonly StageDraft[];
}
