/** DNS messages by hand, compression included, which the `dns-packet` package can't write. */
export const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff])
const u32 = (value: number) => Buffer.concat([u16(value >>> 16), u16(value & 0xffff)])

/** Labels joined by dots; a final `@N` is a pointer to offset N: `www@12`, `@12`. */
export function wireName(text: string): Buffer {
  const [labels = '', pointer] = text.split('@')
  const parts = labels === '' || labels === '.' ? [] : labels.split('.')
  const bytes = parts.map((label) =>
    Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')]),
  )
  const end = pointer === undefined ? Buffer.from([0]) : u16(0xc000 | Number(pointer))
  return Buffer.concat([...bytes, end])
}

export interface WireRecord {
  readonly name: string
  readonly type: number
  readonly class?: number
  readonly ttl?: number
  readonly data: Buffer
}

export const wireRecord = ({ name, type, class: kind = 1, ttl = 60, data }: WireRecord): Buffer =>
  Buffer.concat([wireName(name), u16(type), u16(kind), u32(ttl), u16(data.length), data])

export interface WireMessage {
  readonly id?: number
  readonly flags?: number
  readonly question?: { readonly name: string; readonly type: number; readonly class?: number }
  readonly answers?: readonly WireRecord[]
  readonly authorities?: readonly WireRecord[]
  readonly additionals?: readonly WireRecord[]
}

export function wireMessage({
  id = 1,
  flags = 0x8180,
  question,
  answers = [],
  authorities = [],
  additionals = [],
}: WireMessage): Buffer {
  const counts = [question ? 1 : 0, answers.length, authorities.length, additionals.length]
  const asked = question ? [wireName(question.name), u16(question.type), u16(question.class ?? 1)] : []
  const records = [...answers, ...authorities, ...additionals].map(wireRecord)
  return Buffer.concat([u16(id), u16(flags), ...counts.map(u16), ...asked, ...records])
}

/** OPT (RFC 6891). */
export const opt = (
  size = 1232,
  { dnssecOk = false, version = 0, data = Buffer.alloc(0) } = {},
): WireRecord => ({
  name: '.',
  type: 41,
  class: size,
  ttl: (version << 16) | (dnssecOk ? 0x8000 : 0),
  data,
})

export const svcParam = (key: number, value: Buffer): Buffer =>
  Buffer.concat([u16(key), u16(value.length), value])

export const serviceBinding = (priority: number, target: string, ...params: Buffer[]): Buffer =>
  Buffer.concat([u16(priority), wireName(target), ...params])

export const ALPN = svcParam(1, Buffer.from('\x02h2'))
export const ECH = svcParam(5, Buffer.from('an ECHConfigList'))
export const HINT4 = svcParam(4, Buffer.from([192, 0, 2, 7]))
export const HINT6 = svcParam(6, Buffer.from('20010db8000000000000000000000007', 'hex'))
