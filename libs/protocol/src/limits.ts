/** What a peer may send; beyond it a message is refused. Sizes in bytes, texts in UTF-16 units. */
export const LIMITS = {
  /** A control message, coded. */
  messageBytes: 4 * 1024 * 1024,
  /** Any text but those in JSON. */
  text: 8_192,
  jsonText: 2 * 1024 * 1024,
  /** Entries of a repeated field. */
  entries: 65_536,
  /** A link frame, coded. */
  linkFrameBytes: 4_096,
  /** Run ids and names in a tensor's header. */
  headerText: 256,
  /** A chunk's payload. */
  chunkBytes: 16 * 1024 * 1024,
  chunksPerTensor: 1 << 20,
  /** Values of a tensor: 4 TiB of float32. */
  tensorLength: 2 ** 40,
} as const;
