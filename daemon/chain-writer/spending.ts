/** What a lane may spend in a day, and has: pure. Amounts in wei, days in UTC. */
import { z } from 'zod'

export const Wei = z.string().regex(/^(0|[1-9][0-9]{0,39})$/)

export const Spending = z.object({
  day: z.iso.date(),
  /** What the transactions of that day cost, as their receipts say. */
  wei: Wei,
  /** The newest anchor's cost. */
  lastAnchor: Wei.optional(),
})
export type Spending = z.infer<typeof Spending>

const dayOf = (now: number) => new Date(now).toISOString().slice(0, 10)

/** When the day's budget begins anew. */
export const nextDay = (now: number) => new Date((Math.floor(now / 86_400_000) + 1) * 86_400_000)

/** Spent today. After a clock was set back the later day's amount counts for today: a budget is never doubled. */
export const spentToday = (spending: Spending | undefined, now: number): bigint =>
  spending && spending.day >= dayOf(now) ? BigInt(spending.wei) : 0n

export function withCost(
  spending: Spending | undefined,
  cost: { readonly wei: bigint; readonly anchor: boolean },
  now: number,
): Spending {
  const lastAnchor = cost.anchor ? cost.wei.toString() : spending?.lastAnchor
  return {
    day: dayOf(now),
    wei: (spentToday(spending, now) + cost.wei).toString(),
    ...(lastAnchor === undefined ? {} : { lastAnchor }),
  }
}

/** The whole budget as spent: for a day whose account is lost. */
export const allSpent = (budget: bigint, now: number): Spending => ({
  day: dayOf(now),
  wei: budget.toString(),
})
