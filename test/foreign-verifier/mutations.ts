/** What an attacker makes of a good document. Each is another document than the one it comes from. */
import type { Random } from '../system/differential/random.ts'

export interface Mutation<T> {
  readonly what: string
  readonly value: T
}

/** ℓ, the order of Ed25519's group (RFC 8032 section 5.1): S + ℓ would be a second spelling of the same signature. */
const ORDER = (1n << 252n) + 27742317777372353535851937790883648493n

/** A signed note with one signature line, by the key that is trusted. */
export function* mutatedNotes(note: string, random: Random): Generator<Mutation<string>> {
  const [text = '', lines = ''] = note.split('\n\n')
  const [origin = '', size = '', root = ''] = text.split('\n')
  const [, name = '', base64 = ''] = lines.trimEnd().split(' ')
  const signature = Buffer.from(base64, 'base64')
  const body = (o = origin, s = size, r = root) => `${o}\n${s}\n${r}\n\n${lines}`
  const line = (n: string, bytes: Buffer) => `${text}\n\n— ${n} ${bytes.toString('base64')}\n`
  const made: Record<string, string> = {
    'another origin': body(`${origin}x`),
    'no origin': body(''),
    'a larger size': body(origin, String(BigInt(size) + 1n)),
    'a smaller size': body(origin, String(BigInt(size) - 1n)),
    'a size with a leading zero': body(origin, `0${size}`),
    'a signed size': body(origin, `+${size}`),
    'a negative size': body(origin, `-${size}`),
    'a hexadecimal size': body(origin, `0x${BigInt(size).toString(16)}`),
    'a size with a space': body(origin, ` ${size}`),
    'a size with a fraction': body(origin, `${size}.0`),
    'a size beyond 2^63': body(origin, String(1n << 63n)),
    'a size beyond 2^64': body(origin, String((1n << 64n) + BigInt(size))),
    'no size': body(origin, ''),
    'a root of 31 bytes': body(origin, size, Buffer.from(root, 'base64').subarray(1).toString('base64')),
    'a root of 33 bytes': body(
      origin,
      size,
      Buffer.concat([Buffer.from(root, 'base64'), Buffer.of(0)]).toString('base64'),
    ),
    'a root without padding': body(origin, size, root.replace(/=+$/, '')),
    'a root of the URL alphabet': body(origin, size, `${root.slice(0, 3)}-_${root.slice(5)}`),
    'a root in hexadecimal': body(origin, size, Buffer.from(root, 'base64').toString('hex')),
    'no root': body(origin, size, ''),
    'an extension line that was not signed': `${text}\nextension\n\n${lines}`,
    'an empty line within': `${origin}\n\n${size}\n${root}\n\n${lines}`,
    'lines swapped': `${size}\n${origin}\n${root}\n\n${lines}`,
    'the text alone': `${text}\n`,
    'no signature': `${text}\n\n`,
    'the signature alone': `\n${lines}`,
    'no final newline': note.slice(0, -1),
    'a newline too much': `${note}\n`,
    'words behind': `${note}words\n`,
    'line ends of DOS': note.replaceAll('\n', '\r\n'),
    'a byte order mark': `\ufeff${note}`,
    'a tabulator': note.replace(origin, `${origin}\t`),
    'a NUL': note.replace(origin, `${origin}\0`),
    'a hyphen for the dash': note.replace('—', '-'),
    'an en dash': note.replace('—', '–'),
    'no space behind the dash': note.replace('— ', '—'),
    'two spaces behind the dash': note.replace('— ', '—  '),
    'a no-break space': note.replace('— ', '—\u00a0'),
    "another key's name": line(`${name}x`, signature),
    'a name with a plus': line(`${name}+x`, signature),
    'no name': line('', signature),
    "another key's id": line(name, Buffer.concat([Buffer.from('00000000', 'hex'), signature.subarray(4)])),
    'an id and no signature': line(name, signature.subarray(0, 4)),
    'a signature of 63 bytes': line(name, signature.subarray(0, -1)),
    'a signature of 65 bytes': line(name, Buffer.concat([signature, Buffer.of(0)])),
    'a signature of zeros': line(name, Buffer.concat([signature.subarray(0, 4), Buffer.alloc(64)])),
    'halves of the signature swapped': line(
      name,
      Buffer.concat([signature.subarray(0, 4), signature.subarray(36), signature.subarray(4, 36)]),
    ),
    'S + ℓ': line(name, Buffer.concat([signature.subarray(0, 36), plusOrder(signature.subarray(36))])),
    'a bad signature before the good one': `${text}\n\n— ${name} ${flipBit(signature, 50).toString('base64')}\n${lines}`,
    'a hundred and one signatures': `${text}\n\n${lines.repeat(101)}`,
    'a signature that is no base64': note.replace(base64, `${base64.slice(0, 8)}!${base64.slice(9)}`),
    'a signature without padding': note.replace(base64, base64.replace(/=+$/, '')),
    'padding too much': note.replace(base64, `${base64}=`),
  }
  for (const [what, value] of Object.entries(made)) yield { what, value }
  for (;;) {
    const bytes = Buffer.from(note)
    const kind = random.int(0, 3)
    if (kind === 0)
      yield {
        what: 'cut short',
        value: bytes.subarray(0, random.int(0, bytes.length - 1)).toString('latin1'),
      }
    else if (kind === 1) {
      const at = random.int(0, note.length - 1)
      yield { what: `character ${at} is gone`, value: note.slice(0, at) + note.slice(at + 1) }
    } else if (kind === 2) {
      const at = random.int(0, note.length - 2)
      yield {
        what: `characters swapped at ${at}`,
        value: note.slice(0, at) + note[at + 1] + note[at] + note.slice(at + 2),
      }
    } else {
      const at = random.int(0, text.length - 1)
      const other = String.fromCharCode(note.charCodeAt(at) ^ (1 << random.int(0, 6)))
      yield { what: `a bit of character ${at}`, value: note.slice(0, at) + other + note.slice(at + 1) }
    }
  }
}

/** Of a list of hashes. */
export function* mutatedHashes(hashes: readonly Buffer[], random: Random): Generator<Mutation<Buffer[]>> {
  const at = random.int(0, Math.max(0, hashes.length - 1))
  const but = (value: Buffer) => hashes.map((hash, i) => (i === at ? value : hash))
  const hash = hashes[at]
  yield { what: 'a hash too many', value: [...hashes, random.bytes(32)] }
  yield { what: 'a hash of zeros before', value: [Buffer.alloc(32), ...hashes] }
  if (hash === undefined) return
  yield { what: 'a bit', value: but(flipBit(hash, random.int(0, 255))) }
  yield { what: 'a hash too few', value: hashes.toSpliced(at, 1) }
  yield { what: 'no hash', value: [] }
  yield { what: 'a hash twice', value: hashes.toSpliced(at, 0, hash) }
  yield { what: 'a hash cut short', value: but(hash.subarray(0, 31)) }
  yield { what: 'a hash too long', value: but(Buffer.concat([hash, Buffer.of(0)])) }
  yield { what: 'a random hash', value: but(random.bytes(32)) }
  yield { what: 'a hash of zeros', value: but(Buffer.alloc(32)) }
  if (hashes.length > 1) {
    const next = (at + 1) % hashes.length
    yield { what: 'two hashes swapped', value: hashes.with(at, hashes[next]!).with(next, hash) }
    yield { what: 'the order reversed', value: hashes.toReversed() }
  }
}

/** Of a tile or an entry bundle; undefined: the file is gone. */
export function* mutatedFiles(bytes: Buffer, random: Random): Generator<Mutation<Buffer | undefined>> {
  yield { what: 'it is gone', value: undefined }
  yield { what: 'it is empty', value: Buffer.alloc(0) }
  yield { what: 'a byte too few', value: bytes.subarray(0, -1) }
  yield { what: 'a hash too few', value: bytes.subarray(0, -32) }
  yield { what: 'the first byte gone', value: bytes.subarray(1) }
  yield { what: 'a byte too many', value: Buffer.concat([bytes, Buffer.of(0)]) }
  yield { what: 'bytes too many', value: Buffer.concat([bytes, Buffer.alloc(32)]) }
  yield { what: 'an entry too many', value: Buffer.concat([bytes, Buffer.from([0, 1, 65])]) }
  yield { what: 'zeros', value: Buffer.alloc(bytes.length) }
  yield { what: 'only random', value: random.bytes(bytes.length) }
  if (bytes.length > 64) {
    yield {
      what: 'begins and ends swapped',
      value: Buffer.concat([bytes.subarray(32), bytes.subarray(0, 32)]),
    }
  }
  for (let i = 0; i < 20; i++) {
    const bit = random.int(0, bytes.length * 8 - 1)
    yield { what: `bit ${bit}`, value: flipBit(bytes, bit) }
  }
}

export function flipBit(bytes: Buffer, bit: number): Buffer {
  const altered = Buffer.from(bytes)
  altered[bit >> 3]! ^= 1 << (bit & 7)
  return altered
}

/** S is little-endian (RFC 8032 section 5.1.2). */
function plusOrder(scalar: Buffer): Buffer {
  const sum = BigInt(`0x${Buffer.from(scalar).reverse().toString('hex')}`) + ORDER
  return Buffer.from(sum.toString(16).padStart(64, '0'), 'hex').reverse()
}
