/**
 * How long a connection may be silent before the kernel asks whether the other end still stands: where that vanished
 * without a word (a container's network, a translation that was forgotten) nothing else tells.
 */
export const KEEP_ALIVE_MS = 60_000
