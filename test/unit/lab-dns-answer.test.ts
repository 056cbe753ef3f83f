import dnsPacket from 'dns-packet'
import t from 'tap'
import { addressBytes, answerQuery } from '../lab/internet/dns-answer.ts'

const addresses = {
  a: [addressBytes('203.0.113.10')],
  aaaa: [addressBytes('2001:db8:113::10')],
}
const lookUp = (name: string) => (name === 'api.openai.com' ? addresses : undefined)

function ask(name: string, type: 'A' | 'AAAA' | 'TXT') {
  const query = dnsPacket.encode({ type: 'query', id: 77, flags: 0x100, questions: [{ type, name }] })
  const answer = answerQuery(query, lookUp)
  return answer && (dnsPacket.decode(answer) as dnsPacket.DecodedPacket & { rcode: string })
}

t.test('answers A and AAAA, whatever the letters’ case', async (t) => {
  const v4 = ask('API.openai.com', 'A')
  t.match(v4, { id: 77, type: 'response', rcode: 'NOERROR', flag_aa: true, flag_rd: true })
  t.match(v4?.answers, [{ type: 'A', data: '203.0.113.10', name: 'API.openai.com' }])
  t.match(ask('api.openai.com', 'AAAA')?.answers, [{ type: 'AAAA', data: '2001:db8:113::10' }])
})

t.test('a known name without such a record is an empty answer, an unknown one does not exist', async (t) => {
  t.match(ask('api.openai.com', 'TXT'), { rcode: 'NOERROR', answers: [] })
  t.match(ask('nobody.example.net', 'A'), { rcode: 'NXDOMAIN', answers: [] })
})

t.test('says nothing to what is no query', async (t) => {
  const query = dnsPacket.encode({ type: 'query', id: 1, questions: [{ type: 'A', name: 'api.openai.com' }] })
  t.equal(answerQuery(Buffer.alloc(0), lookUp), undefined)
  for (let length = 0; length < query.length; length++) {
    t.equal(answerQuery(query.subarray(0, length), lookUp), undefined, `cut to ${length} bytes`)
  }
  const response = Buffer.from(query)
  response[2]! |= 0x80
  t.equal(answerQuery(response, lookUp), undefined, 'a response')
  const pointer = Buffer.from(query)
  pointer[12] = 0xc0
  t.equal(answerQuery(pointer, lookUp), undefined, 'a compressed question')
})

t.test('writes addresses as bytes', async (t) => {
  t.same([...addressBytes('198.51.100.2')], [198, 51, 100, 2])
  t.equal(Buffer.from(addressBytes('::1')).toString('hex'), `${'0'.repeat(31)}1`)
  t.equal(Buffer.from(addressBytes('2001:db8::')).toString('hex'), `20010db8${'0'.repeat(24)}`)
})
