/** Watches the file system of the records: what is left there, for how long, and whether anything new may begin. */
import { messageOf } from '../../base/errors.ts'
import type { Health } from '../../base/health.ts'
import type { Journal } from '../intake/journal.ts'
import type { Room } from '../intake/room.ts'
import { DiskTrend } from './disk-trend.ts'
import { keptBack, readSpace, reserveOf, type Space, shortOf, spaceHealth, spaceState } from './free-space.ts'

export interface DiskState extends Space {
  /** Free bytes at which nothing new is begun. */
  readonly reserve: number
  /** When that will be, as things go; RFC 3339. */
  readonly fullAt?: string
}

export class DiskWatch {
  readonly #dir: string
  readonly #reserve: number | undefined
  readonly #trend = new DiskTrend()
  health: readonly Health[] = []
  state: DiskState | undefined

  /** @param reserve set by the administrator; absent: by the size of the disk */
  constructor(dir: string, reserve: number | undefined) {
    this.#dir = dir
    this.#reserve = reserve
  }

  /** Before the disk is full: what has begun must still find room, and what waits in the journal. */
  look(room: Room, { waiting }: Pick<Journal, 'waiting'>, log: (line: string) => void): void {
    try {
      const space = readSpace(this.#dir)
      const reserve = reserveOf(space, this.#reserve)
      const full = this.#trend.look(space, reserve)
      this.state = { ...space, reserve, ...(full && { fullAt: new Date(full).toISOString() }) }
      const left = { ...space, free: Math.max(0, space.free - waiting) }
      this.health = spaceHealth(left, this.#reserve)
      room.refuse(spaceState(left, this.#reserve) === 'short' ? shortOf(left, this.#reserve) : undefined)
      room.measured(space.free - keptBack(space, this.#reserve))
    } catch (error) {
      log(`free space: ${messageOf(error)}`)
    }
  }
}
