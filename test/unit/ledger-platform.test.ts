import { createHash } from 'node:crypto'
import { ED25519_TORSION_SUBGROUP, ed25519 } from '@noble/curves/ed25519'
import fc from 'fast-check'
import t from 'tap'
import * as node from '../../daemon/ledger/platform/node.ts'
import * as portable from '../../daemon/ledger/platform/portable.ts'

const bytes = fc.uint8Array({ maxLength: 200 })
const plain = (value: Uint8Array) => Uint8Array.from(value)

t.test('both platforms hash, encode and compare alike', async (t) => {
  fc.assert(
    fc.property(bytes, bytes, fc.string({ unit: 'binary' }), (a, b, text) => {
      t.same(plain(node.sha256(a)), portable.sha256(a))
      t.same(plain(node.concat([a, b, a])), portable.concat([a, b, a]))
      t.equal(node.equal(a, b), portable.equal(a, b))
      t.ok(portable.equal(a, a.slice()) && node.equal(a, a.slice()))
      t.equal(node.toHex(a), portable.toHex(a))
      t.equal(node.toBase64(a), portable.toBase64(a))
      t.same(portable.fromBase64(node.toBase64(a)), a)
      t.same(plain(node.utf8(text)), portable.utf8(text))
    }),
    { numRuns: 100 },
  )
  const long = new Uint8Array(100_000).map((_, i) => i * 7)
  t.equal(node.toBase64(long), portable.toBase64(long))
  t.equal(portable.toBase64(portable.fromBase64('no base64!')), '')
})

t.test('both platforms sign alike, and judge every signature alike, mutated ones too', async (t) => {
  const seed = fc.uint8Array({ minLength: 32, maxLength: 32 })
  fc.assert(
    fc.property(seed, bytes, fc.nat(), fc.nat(63), fc.nat(7), (seed, message, which, at, bit) => {
      const keys = [node.openSigningKey(seed)!, portable.openSigningKey(seed)!] as const
      t.same(plain(keys[0].publicKey), keys[1].publicKey)
      const signature = keys[1].sign(message)
      t.same(plain(keys[0].sign(message)), signature)
      const parts = { signature, message, publicKey: keys[1].publicKey }
      const spoiled = Object.values(parts)[which % 3]!
      for (const expected of [true, false]) {
        const { publicKey } = parts
        const [a, b] = [node, portable].map((p) => p.verifyEd25519(publicKey, message, signature))
        if (a !== b) return false
        if (expected && a !== true) return false
        if (spoiled.length > 0) spoiled[at % spoiled.length]! ^= 1 << bit
      }
      return true
    }),
    { numRuns: 150 },
  )
  t.equal(portable.openSigningKey(new Uint8Array(31)), undefined)
  t.equal(portable.verifyEd25519(new Uint8Array(3), new Uint8Array(), new Uint8Array(64)), false)
})

t.test(
  'a signature with a part of small order, which only the key itself can make, is refused by both',
  async (t) => {
    const seed = new Uint8Array(32).fill(7)
    const message = new TextEncoder().encode('one verdict')
    const { scalar, pointBytes } = ed25519.utils.getExtendedPublicKey(seed)
    const nonce = 12_345n
    const odd = ed25519.Point.BASE.multiply(nonce).add(ed25519.Point.fromHex(ED25519_TORSION_SUBGROUP[1]!))
    const R = odd.toBytes()
    const order = ed25519.Point.Fn.ORDER
    const hash = createHash('sha512').update(R).update(pointBytes).update(message).digest().reverse()
    const s = (nonce + (BigInt(`0x${hash.toString('hex')}`) % order) * scalar) % order
    const little = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse()
    const signature = Uint8Array.from([...R, ...little])
    t.equal(
      ed25519.verify(signature, message, pointBytes, { zip215: false }),
      true,
      'an equation with cofactor',
    )
    t.equal(node.verifyEd25519(pointBytes, message, signature), false)
    t.equal(portable.verifyEd25519(pointBytes, message, signature), false)
  },
)
