/** A request's or response's head as sent: start line and fields; of HTTP/2 fields only, some named with a colon. */
export interface Head {
  /** Of HTTP/2 its first field. */
  readonly startLine: string
  /** By lower-case name, values in the order sent. */
  readonly fields: ReadonlyMap<string, readonly string[]>
}

const MAX_HEAD = 256 << 10

export function parseHead(bytes: Buffer): Head {
  const [startLine = '', ...after] = bytes.subarray(0, MAX_HEAD).toString('latin1').split(/\r?\n/)
  const lines = startLine.startsWith(':') ? [startLine, ...after] : after
  const fields = new Map<string, string[]>()
  for (const line of lines) {
    if (line === '') break
    const colon = line.indexOf(':', 1)
    if (colon <= 0) continue
    const name = line.slice(0, colon).trim().toLowerCase()
    const values = fields.get(name)
    if (values === undefined) fields.set(name, [line.slice(colon + 1).trim()])
    else values.push(line.slice(colon + 1).trim())
  }
  return { startLine, fields }
}

export function requestLine(head: Head): { method?: string; target?: string } {
  const { startLine, fields } = head
  const [, method, target] = startLine.startsWith(':')
    ? [undefined, fields.get(':method')?.[0], fields.get(':path')?.[0]]
    : (/^([!-~]{1,64}) ([^ ]+)/.exec(startLine) ?? [])
  return method === undefined || target === undefined ? {} : { method, target }
}

export function statusOf(head: Head): number | undefined {
  const [, status] = /^(?:HTTP\/[0-9.]+|:status:) ([0-9]{3})(?: |$)/.exec(head.startLine) ?? []
  return status === undefined ? undefined : Number(status)
}

/** Media type in lower case, without parameters; empty where there is none. */
export function mediaType(head: Head): string {
  return head.fields.get('content-type')?.[0]?.split(';')[0]?.trim().toLowerCase() ?? ''
}
