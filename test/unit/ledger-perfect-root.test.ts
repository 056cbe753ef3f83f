import { createHash } from 'node:crypto'
import t from 'tap'
import { rootOf } from '../../daemon/ledger/merkle.ts'
import { perfectRoot } from '../../daemon/ledger/perfect-root.ts'

const hashes = (count: number) =>
  Array.from({ length: count }, (_, i) => createHash('sha256').update(`${count}/${i}`).digest())

t.test('a perfect subtree has the root that its hashes have one by one', async (t) => {
  for (let count = 1; count <= 256; count *= 2) {
    const all = hashes(count)
    t.same(perfectRoot(Buffer.concat(all)), rootOf(all), `${count} hashes`)
  }
})

t.test('what it reads stays as it is, and an earlier root too', async (t) => {
  const first = Buffer.concat(hashes(8))
  const copy = Buffer.from(first)
  const root = perfectRoot(first)
  const kept = Buffer.from(root)
  perfectRoot(Buffer.concat(hashes(16)))
  t.same(first, copy)
  t.same(root, kept)
})
