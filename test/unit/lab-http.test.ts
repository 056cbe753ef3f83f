import { Readable } from 'node:stream'
import t from 'tap'
import { parseBehaviour } from '../lab/internet/behaviour.ts'
import { ByteReader } from '../lab/internet/byte-reader.ts'
import { readBody, readHead } from '../lab/internet/http-request.ts'

/** A reader whose bytes come in pieces of so many. */
function reader(text: string, size: number): ByteReader {
  const bytes = Buffer.from(text, 'latin1')
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size))
  return new ByteReader(Readable.from(pieces, { objectMode: true }))
}

const plain = 'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello'
const chunked =
  'POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\nTrailer: t\r\n\r\n'

t.test('reads pipelined requests however they are cut up', async (t) => {
  for (const size of [1, 2, 3, 7, 1000]) {
    const source = reader(plain + chunked, size)
    const first = await readHead(source)
    t.match(first, { method: 'POST', target: '/a' })
    t.equal((await readBody(source, first!)).content.toString(), 'hello')
    const second = await readHead(source)
    t.equal(second?.fields.get('x-a'), '1, 2')
    const body = await readBody(source, second!)
    t.equal(body.content.toString(), 'hello')
    t.equal(
      body.raw.toString(),
      chunked.slice(chunked.indexOf('3\r\n')),
      'framing and trailer kept as they came',
    )
    t.equal(await readHead(source), undefined, 'a clean end')
  }
})

t.test('refuses broken framing', async (t) => {
  const heads = [
    'GET /\r\n\r\n',
    'GET / HTTP/1.0\r\n\r\n',
    'GET / HTTP/1.1\r\nno colon\r\n\r\n',
    `GET / HTTP/1.1\r\nA: ${'x'.repeat(70_000)}`,
  ]
  for (const head of heads) await t.rejects(readHead(reader(head, 4096)), head.slice(0, 40))
  const bodies = [
    'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
    'Content-Length: -5\r\n\r\n',
    'Content-Length: 99999999999\r\n\r\n',
    'Content-Length: 999999999\r\n\r\n',
    'Transfer-Encoding: gzip\r\n\r\n',
    'Transfer-Encoding: chunked\r\n\r\nxyz\r\n',
    'Transfer-Encoding: chunked\r\n\r\nffffffff\r\n',
  ]
  for (const text of bodies) {
    const source = reader(`POST / HTTP/1.1\r\n${text}`, 4096)
    const head = await readHead(source)
    await t.rejects(readBody(source, head!), text)
  }
  const short = reader(plain.slice(0, -1), 10)
  const head = await readHead(short)
  await t.rejects(readBody(short, head!), { message: 'the connection ended in the middle of a request' })
})

t.test('a request says how its answer should go wrong', async (t) => {
  t.match(parseBehaviour(undefined), { delay: 0, pace: 0, cut: undefined, framing: 'length' })
  t.match(parseBehaviour('delay=5, cut=3,framing=chunked'), { delay: 5, cut: 3, framing: 'chunked' })
  for (const wrong of ['dealy=5', 'cut=-1', 'cut=x', 'close=later', 'size=999999999']) {
    t.throws(() => parseBehaviour(wrong), /x-lab/, wrong)
  }
})
