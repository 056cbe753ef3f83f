/**
 * Looks for requests line by line, without knowing where one ends: for plain HTTP that can be read in two ways,
 * where bodies can't be told from heads.
 *
 * Threat model: lines come cut at any byte and of any length; of each no more than its beginning is kept.
 */
import { hostOfTarget, hostsOfField, requestLine } from '../sniff/http-start.ts'

export interface RequestShown {
  readonly request: { readonly method: string; readonly target: string }
  readonly names: readonly string[]
}

/** Longer lines are cut: no server takes a request line or a Host of that length. */
const MAX_LINE = 8192
const LF = 0x0a

export class LineScanner {
  /** What has come of the current line. */
  #line = ''
  #request: RequestShown['request'] | undefined
  #named = false
  /** The line before was a Host field, which a careless server lets go on in a folded one. */
  #inHost = false

  /** @param request one whose head is being read; its names were seen */
  begin(request: RequestShown['request'] | undefined): void {
    this.#request = request
    this.#named = true
  }

  /** Each request as soon as it names a host, or ends its head without naming one. */
  read(bytes: Buffer): RequestShown[] {
    const shown: RequestShown[] = []
    let at = 0
    while (at < bytes.length) {
      const found = bytes.indexOf(LF, at)
      const end = found < 0 ? bytes.length : found
      const room = MAX_LINE - this.#line.length
      if (room > 0) this.#line += bytes.toString('latin1', at, Math.min(end, at + room))
      if (found < 0) break
      const line = this.#line
      this.#line = ''
      this.#take(line.endsWith('\r') ? line.slice(0, -1) : line, shown)
      at = found + 1
    }
    return shown
  }

  #take(line: string, shown: RequestShown[]): void {
    const request = requestLine(line)
    if (request) {
      this.#request = request
      this.#named = false
      this.#inHost = false
      const host = hostOfTarget(request.target)
      if (host !== undefined) this.#show(request, [host], shown)
      return
    }
    if (!this.#request) return
    if (line === '') {
      if (!this.#named) this.#show(this.#request, [], shown)
      this.#request = undefined
      return
    }
    const folded = this.#inHost && (line.startsWith(' ') || line.startsWith('\t'))
    const hosts = hostsOfField(folded ? `host:${line}` : line)
    this.#inHost = folded || /^host[ \t]*:/i.test(line)
    if (hosts.length > 0) this.#show(this.#request, hosts, shown)
  }

  #show(request: RequestShown['request'], names: readonly string[], shown: RequestShown[]): void {
    this.#named = true
    shown.push({ request, names })
  }
}
