/**
 * Milliseconds since the epoch by the wall clock at this process's start and the monotonic clock since: for what
 * expires. A wall clock that is set forward by a day must not make everything a day old.
 */
export const steadyNow = (): number => performance.timeOrigin + performance.now()
