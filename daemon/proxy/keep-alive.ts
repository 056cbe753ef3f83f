/**
 * How long a connection may be silent before the kernel asks whether the other end still stands. Of an agent that ended
 * while it waited for an answer nothing else tells: its end looks like that of one that only sends no more.
 */
export const KEEP_ALIVE_MS = 60_000
