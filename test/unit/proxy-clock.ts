/** The clock of a worker in this process: moved on instead of waited for. */
const real = performance.now.bind(performance)
let shift = 0

performance.now = () => real() + shift

/** Moves it on. */
export function pass(ms: number): void {
  shift += ms
}

export function restoreClock(): void {
  performance.now = real
}

/** The worker looks at its deadlines once a second: it has done so with what the clock says now. */
export const aLook = () => new Promise((resolve) => setTimeout(resolve, 1200))
