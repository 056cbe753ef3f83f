import fc from 'fast-check'
import t from 'tap'
import { edgeAt, parseTilePath, partialsPath, tilePath, widthAt } from '../../daemon/ledger/tile-path.ts'

t.test('names tiles as the specification does', async (t) => {
  t.equal(tilePath({ level: 0, index: 1234067n, width: 256 }), 'tile/0/x001/x234/067')
  t.equal(tilePath({ level: 3, index: 0n, width: 255 }), 'tile/3/000.p/255')
  t.equal(tilePath({ level: 'entries', index: 1000n, width: 1 }), 'tile/entries/x001/000.p/1')
  t.equal(tilePath({ level: 0, index: 999n, width: 256 }), 'tile/0/999')
  t.equal(partialsPath(1, 1234067n), 'tile/1/x001/x234/067.p')
})

t.test('knows widths: the example of the specification, 70,000 leaves', async (t) => {
  t.same(edgeAt(0, 70000n), { index: 273n, width: 112 })
  t.same(edgeAt(1, 70000n), { index: 1n, width: 17 })
  t.same(edgeAt(2, 70000n), { index: 0n, width: 1 })
  t.same(edgeAt(3, 70000n), { index: 0n, width: 0 })
  t.equal(widthAt(0, 272n, 70000n), 256)
  t.equal(widthAt('entries', 273n, 70000n), 112)
  t.equal(widthAt(1, 1n, 70000n), 17)
  t.equal(widthAt(0, 274n, 70000n), 0)
})

t.test('reads back every name it gives', async () => {
  const level = fc.oneof(fc.integer({ min: 0, max: 7 }), fc.constant('entries' as const))
  const address = fc.record({
    level,
    index: fc.bigInt({ min: 0n, max: 1n << 55n }),
    width: fc.integer({ min: 1, max: 256 }),
  })
  fc.assert(
    fc.property(address, (address) => {
      const parsed = parseTilePath(tilePath(address))
      return (
        parsed.level === address.level && parsed.index === address.index && parsed.width === address.width
      )
    }),
  )
})

t.test('refuses every other name', async (t) => {
  for (const path of [
    '',
    'tile/0/1234067',
    'tile/0/x000/001',
    'tile/0/001/002',
    'tile/0/x001',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0/000.p/01',
    'tile/8/000',
    'tile/00/000',
    'tile/-1/000',
    'tile/entries/000.p/',
    'tile/0/000/',
    'tile/0/../0/000',
    '/tile/0/000',
    'tile/0/000\n',
    'tile/0/x999/x999/x999/x999/x999/x999/999',
  ]) {
    t.throws(() => parseTilePath(path), { code: 'MALFORMED_PATH' }, JSON.stringify(path))
  }
})
