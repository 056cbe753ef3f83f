/** Why a model stopped, one word a choice, in the choices' order. */
import { cut, text } from './fields.ts'
import type { Found } from './wire-style.ts'

/** Choices whose reasons are kept; `n` in a request may be 128. */
const MAX_CHOICES = 128

export class FinishReasons {
  readonly #reasons = new Map<number, string>()

  note(reason: unknown, choice = 0): void {
    const said = text(reason)
    if (said === undefined) return
    if (this.#reasons.size < MAX_CHOICES || this.#reasons.has(choice)) this.#reasons.set(choice, cut(said))
  }

  found(): Found {
    const ordered = [...this.#reasons].sort(([a], [b]) => a - b).map(([, reason]) => reason)
    return ordered.length === 0 ? {} : { 'gen_ai.response.finish_reasons': ordered }
  }
}
