/** What reads one kind of framing: a file each, chosen by framing.ts. */

/** @param end of the event in the body: no byte from there on was needed to know it */
export type TakeEvent = (event: unknown, end: number) => void

/**
 * Hands over the events of a body in order, also of one that was broken off. Never throws for what is in the body.
 * @param cuts where the pieces end in which the body came, ascending
 * @returns why the rest could not be read
 */
export type EventReader = (bytes: Buffer, take: TakeEvent, cuts: readonly number[]) => string | undefined
