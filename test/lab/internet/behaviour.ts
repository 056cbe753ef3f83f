/**
 * How a site misbehaves, asked for by the request itself, so that parallel tests don't disturb each
 * other: `x-lab: pace=20, cut=3`.
 */
export interface Behaviour {
  /** Milliseconds before the first byte of the answer. */
  readonly delay: number
  /** Milliseconds between the events of a stream. */
  readonly pace: number
  /** Begin each event of a stream with a comment that says when it was sent; see stamp.ts. */
  readonly stamp: boolean
  /** Break the connection off after so many events of a stream, or half way through any other body. */
  readonly cut: number | undefined
  /** Close the connection: `head` right after the answer's head, `silent` before its first byte. */
  readonly close: 'head' | 'silent' | undefined
  /** Answer with a text of so many bytes instead of the echo. */
  readonly size: number | undefined
  /** Answer with this error status, in the style of the provider. */
  readonly status: number | undefined
  /** Framing of an answer that is no stream: with a length (default), in chunks, or until the close. */
  readonly framing: 'length' | 'chunked' | 'close'
  /** Compress streams too where the client accepts gzip. */
  readonly gzip: 'stream' | undefined
  /** Send the client elsewhere (RFC 9110 section 10.2.2). */
  readonly location: string | undefined
  /** Offer HTTP/3 in the answer's head (RFC 7838). */
  readonly altSvc: boolean
}

const MAX_SIZE = 32 * 1024 * 1024
const MAX_WAIT = 60_000

/** Parses the `x-lab` header's value; throws where it asks for something unknown. */
export function parseBehaviour(value: string | undefined): Behaviour {
  const asked = new Map<string, string>()
  for (const part of (value ?? '').split(',')) {
    if (part.trim() === '') continue
    const [key = '', option = ''] = part.trim().split('=')
    asked.set(key, option)
  }
  const take = <T>(key: string, read: (option: string) => T): T | undefined => {
    const option = asked.get(key)
    asked.delete(key)
    return option === undefined ? undefined : read(option)
  }
  const behaviour: Behaviour = {
    delay: take('delay', number(MAX_WAIT)) ?? 0,
    pace: take('pace', number(MAX_WAIT)) ?? 0,
    stamp: take('stamp', oneOf('sent')) !== undefined,
    cut: take('cut', number(MAX_SIZE)),
    close: take('close', oneOf('head', 'silent')),
    size: take('size', number(MAX_SIZE)),
    status: take('status', number(599)),
    framing: take('framing', oneOf('length', 'chunked', 'close')) ?? 'length',
    gzip: take('gzip', oneOf('stream')),
    location: take('location', (option) => option),
    altSvc: take('alt-svc', oneOf('h3')) !== undefined,
  }
  const unknown = asked.keys().next()
  if (!unknown.done) throw new Error(`x-lab: nothing here is called ${JSON.stringify(unknown.value)}`)
  return behaviour
}

function number(most: number): (option: string) => number {
  return (option) => {
    if (!/^\d{1,9}$/.test(option) || Number(option) > most) throw new Error(`x-lab: not a number: ${option}`)
    return Number(option)
  }
}

function oneOf<const Choice extends string>(...choices: Choice[]): (option: string) => Choice {
  return (option) => {
    const chosen = choices.find((choice) => choice === option)
    if (chosen === undefined) throw new Error(`x-lab: ${option} is none of ${choices.join(', ')}`)
    return chosen
  }
}
