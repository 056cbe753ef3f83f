/**
 * HTTP/1.1 heads (RFC 9112 §2–§5), read strictly and kept as they came.
 *
 * Threat model: two parsers that disagree about where a message ends let one agent's bytes be taken for
 * another's request. So nothing that RFC 9112 lets a recipient repair is repaired: bare CR and LF, NUL,
 * folded lines and blanks before a colon are refused, and what is forwarded is the very bytes that were read.
 */
import { ProxyError, type ProxyErrorCode } from '../proxy-error.ts'

/** Longest head in bytes; servers commonly take 8 to 64 KiB. */
export const MAX_HEAD = 64 * 1024
export const MAX_FIELDS = 512

export interface Field {
  /** Lower case. */
  readonly name: string
  /** Without blanks around it, one character a byte (latin1). */
  readonly value: string
  /** The whole line as sent, without its CRLF; the value starts at `valueAt`. */
  readonly line: string
  readonly valueAt: number
}

export interface RequestHead {
  readonly startLine: string
  readonly method: string
  readonly target: string
  readonly version: '1.0' | '1.1'
  readonly fields: readonly Field[]
}

export interface ResponseHead {
  readonly startLine: string
  readonly status: number
  readonly version: '1.0' | '1.1'
  readonly fields: readonly Field[]
}

const END = Buffer.from('\r\n\r\n')
const BARE_END = Buffer.from('\n\n')

/** Gathers the bytes of one head, up to and with its empty line. */
export class HeadReader {
  readonly #begin: Buffer
  #parts: Buffer | undefined

  /**
   * @param begin what the head must begin with: a peer that speaks first and speaks something else (SMTP, SSH)
   * would otherwise be waited for until the agent gives up
   */
  constructor(begin = '') {
    this.#begin = Buffer.from(begin)
  }

  /** True while part of a head has come and the rest has not. */
  get pending(): boolean {
    return this.#parts !== undefined
  }

  /**
   * Takes bytes from `offset` on. Says the complete head and the index of the first byte after it, or nothing
   * if more is needed (then all bytes are kept). A head that came whole shares memory with `bytes`.
   * @throws ProxyError head_too_large, malformed_field, malformed_status_line
   */
  read(bytes: Buffer, offset: number): { readonly head: Buffer; readonly next: number } | undefined {
    const before = this.#parts?.length ?? 0
    const all = this.#parts ? Buffer.concat([this.#parts, bytes.subarray(offset)]) : bytes.subarray(offset)
    const found = all.indexOf(END, Math.max(0, before - END.length + 1))
    const start = all.subarray(0, this.#begin.length)
    if (!start.equals(this.#begin.subarray(0, start.length))) {
      throw malformed('the status line', 'malformed_status_line')
    }
    const bare = all.subarray(Math.max(0, before - 1), found < 0 ? all.length : found).includes(BARE_END)
    if (bare) throw malformed('a line that ends without CR')
    const length = found < 0 ? all.length : found + END.length
    if (length > MAX_HEAD) {
      throw new ProxyError(
        'head_too_large',
        `a head of over ${MAX_HEAD} bytes`,
        'Send shorter header fields.',
      )
    }
    if (found >= 0) {
      this.#parts = undefined
      return { head: all.subarray(0, length), next: offset + length - before }
    }
    this.#parts = all
    return undefined
  }
}

const malformed = (what: string, code: ProxyErrorCode = 'malformed_field') =>
  new ProxyError(code, `malformed HTTP: ${what}`, 'Send HTTP/1.1 as RFC 9112 asks; this was not forwarded.')

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/
/** A client takes a status beyond 599 for one of 5xx (RFC 9110 section 15): it is no reason to withhold the answer. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/
export const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
export const FORBIDDEN_IN_LINE = /[\0-\x08\x0a-\x1f\x7f]/

/**
 * @param raw a whole head with its empty line
 * @throws ProxyError malformed_request_line, malformed_field
 */
export function parseRequestHead(raw: Buffer): RequestHead {
  const lines = linesOf(raw)
  const line = REQUEST_LINE.exec(lines[0] as string)
  if (!line) throw malformed('the request line', 'malformed_request_line')
  return {
    startLine: lines[0] as string,
    method: line[1] as string,
    target: line[2] as string,
    version: line[3] === '1' ? '1.1' : '1.0',
    fields: fieldsOf(lines, 1),
  }
}

/**
 * @param raw a whole head with its empty line
 * @throws ProxyError malformed_status_line, malformed_field
 */
export function parseResponseHead(raw: Buffer): ResponseHead {
  const lines = linesOf(raw)
  const line = STATUS_LINE.exec(lines[0] as string)
  if (!line) throw malformed('the status line', 'malformed_status_line')
  return {
    startLine: lines[0] as string,
    status: Number(line[2]),
    version: line[1] === '1' ? '1.1' : '1.0',
    fields: fieldsOf(lines, 1),
  }
}

/** Trailer fields: lines with their CRLF, without the empty one. @throws ProxyError malformed_field */
export function parseTrailers(raw: string): Field[] {
  return raw === '' ? [] : fieldsOf(raw.slice(0, -2).split('\r\n'), 0)
}

function linesOf(raw: Buffer): string[] {
  return raw.toString('latin1', 0, raw.length - END.length).split('\r\n')
}

function fieldsOf(lines: readonly string[], from: number): Field[] {
  if (lines.length - from > MAX_FIELDS) {
    throw new ProxyError(
      'head_too_large',
      `more than ${MAX_FIELDS} header fields`,
      'Send fewer header fields.',
    )
  }
  const fields: Field[] = []
  for (let i = from; i < lines.length; i++) {
    const line = lines[i] as string
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon))
    if (!FIELD_NAME.test(name) || FORBIDDEN_IN_LINE.test(line)) throw malformed(whatIsWrong(line))
    let start = colon + 1
    let end = line.length
    while (start < end && isBlank(line, start)) start++
    while (end > start && isBlank(line, end - 1)) end--
    fields.push({ name: name.toLowerCase(), value: line.slice(start, end), line, valueAt: start })
  }
  return fields
}

/** A loop and not a pattern: trimming by pattern is quadratic on a line of blanks. */
const isBlank = (line: string, at: number) => line.charCodeAt(at) === 0x20 || line.charCodeAt(at) === 0x09

/** Never quotes the line: it may hold a credential. */
function whatIsWrong(line: string): string {
  if (/^[ \t]/.test(line)) return 'a folded header line'
  if (/[\r\n]/.test(line)) return 'a bare CR or LF in a header line'
  if (/[\0-\x08\x0b-\x1f\x7f]/.test(line)) return 'a control character in a header line'
  if (/^[^:]*[ \t]:/.test(line)) return 'a blank before the colon of a header line'
  return 'a header line that is no "name: value"'
}
