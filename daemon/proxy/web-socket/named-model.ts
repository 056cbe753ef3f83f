/**
 * The model that a client names once for its whole session: Gemini Live's `setup`, OpenAI's `session.update`. Turns after
 * that have no word of it, and their records stand alone.
 */
import { LOOKED_AT } from './event.ts'

/** What a model may be called; the record is a leaf of at most 4 KiB. */
const NAME = /^[\x20-\x7e]{1,128}$/
/** A setup may be longer than what is looked at; the SDKs' has the model in front. */
const SETUP = /^\s*\{\s*"setup"\s*:\s*\{\s*"model"\s*:\s*"([^"\\]{1,128})"/
/** What stands before a session in an event: its type and id. */
const SESSION = /^\s*\{[^{]{0,512}"(?:setup|session)"\s*:\s*\{/

export class NamedModel {
  #model: string | undefined
  /** The beginning of the client's message. */
  #parts: Buffer[] = []
  #size = 0

  /** As named last. */
  get model(): string | undefined {
    return this.#model
  }

  /** A stretch of a client's message. */
  piece(bytes: Buffer, ends: boolean): void {
    if (this.#size < LOOKED_AT) this.#parts.push(bytes)
    this.#size += bytes.length
    if (!ends) return
    this.#model = modelIn(this.#parts.length === 1 ? bytes : Buffer.concat(this.#parts)) ?? this.#model
    this.#parts = []
    this.#size = 0
  }
}

/** @param text a client's message, or its beginning */
export function modelIn(text: Buffer): string | undefined {
  const start = text.toString('latin1', 0, 1024)
  if (!SESSION.test(start)) return undefined
  try {
    const said = JSON.parse(text.toString('utf8')) as Record<'setup' | 'session', { model?: unknown } | null>
    const model = said.setup?.model ?? said.session?.model
    return typeof model === 'string' ? named(model) : undefined
  } catch {
    const model = SETUP.exec(start)?.[1]
    return model === undefined ? undefined : named(model)
  }
}

/** Google's is a resource: `models/NAME`, or a longer path on Vertex. */
function named(model: string): string | undefined {
  const name = model.replace(/^.*\bmodels\//, '')
  return NAME.test(name) ? name : undefined
}
