import t from 'tap'
import { cutBook } from '../../daemon/supervisor/cut-book.ts'

const HOUR = 3_600_000
const to = (address: string) => ({ address, port: 443 })
const from = (address: string, port: number) => ({ address, port })

t.test('a user is cut off from where he strayed, once and for an hour after the last time', async (t) => {
  const book = cutBook()
  t.equal(book.strayed({ uid: 4001, destination: to('198.51.100.7') }, 0), true)
  t.equal(book.strayed({ uid: 4001, destination: to('198.51.100.7') }, 10), false, 'it is known')
  t.equal(book.strayed({ uid: 4002, destination: to('198.51.100.7') }, 10), true, 'another user')
  t.same(book.cuts, [
    { uid: 4001, address: '198.51.100.7' },
    { uid: 4002, address: '198.51.100.7' },
  ])
  t.equal(book.expire(HOUR), false)
  t.equal(book.expire(HOUR + 10), true)
  t.same(book.cuts, [])
  t.equal(book.expire(HOUR + 20), false)
})

t.test('who can’t be told loses that flow and no other', async (t) => {
  const book = cutBook()
  book.strayed({ client: from('192.0.2.1', 4444), destination: to('198.51.100.7') }, 0)
  t.equal(book.strayed({ client: from('192.0.2.1', 4445), destination: to('198.51.100.7') }, 0), true)
  t.same(book.cuts, [
    { source: from('192.0.2.1', 4444), address: '198.51.100.7' },
    { source: from('192.0.2.1', 4445), address: '198.51.100.7' },
  ])
  t.equal(book.strayed({ destination: to('198.51.100.8') }, 0), false, 'nobody at all')
  t.equal(book.strayed({ client: from('192.0.2.1', 1), destination: to('2001:db8::1') }, 0), false)
})

t.test('a flood of one user’s gives nobody else’s address back', async (t) => {
  const book = cutBook()
  book.strayed({ uid: 4001, destination: to('198.51.100.7') }, 0)
  for (let i = 0; i < 5000; i++) {
    book.strayed({ uid: 4002, destination: to(`198.18.${i >> 8}.${i & 255}`) }, i)
    book.strayed({ client: from('192.0.2.1', i), destination: to('198.51.100.9') }, i)
  }
  const users = book.cuts.filter((cut) => 'uid' in cut)
  t.ok(users.some(({ uid, address }) => uid === 4001 && address === '198.51.100.7'))
  t.equal(users.length, 1 + 64, 'his own are bounded')
  t.equal(book.cuts.length - users.length, 1024, 'and so are flows')
  t.ok(
    users.some(({ address }) => address === '198.18.19.135'),
    'the newest are kept',
  )
})
