/** Calls `work` for every item, for so many at a time. After a failure nothing more begins, and what runs has ended when it is thrown. */
export async function eachInTurn<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    while (waiting.length > 0 && failures.length === 0) await work(waiting.shift()!).catch((error: unknown) => failures.push(error));
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  if (failures.length > 0) throw failures[0];
}
