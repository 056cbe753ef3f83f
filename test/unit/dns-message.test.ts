/** DNS messages: `dns-packet` writes and reads them independently of what is tested. */
import dnsPacket from 'dns-packet'
import fc from 'fast-check'
import t from 'tap'
import { readAnswer } from '../../daemon/wire/dns-answer.ts'
import { readMessage, readName } from '../../daemon/wire/dns-message.ts'
import {
  addressedTo,
  answers,
  fit,
  formatQuery,
  formatReply,
  readQuery,
} from '../../daemon/wire/dns-query.ts'
import { withoutEch } from '../../daemon/wire/without-ech.ts'
import {
  ALPN,
  ECH,
  HINT4,
  HINT6,
  opt,
  serviceBinding,
  svcParam,
  u16,
  wireMessage,
  wireName,
} from './dns-wire-fixture.ts'

const HTTPS = 65
const CNAME = 5

t.test('reads what dns-packet writes: names, types, times to live, sections', async (t) => {
  const bytes = dnsPacket.encode({
    type: 'response',
    id: 4711,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ type: 'A', name: 'API.Example.com' }],
    answers: [
      { type: 'CNAME', name: 'api.example.com', ttl: 300, data: 'edge.example.net' },
      { type: 'A', name: 'edge.example.net', ttl: 20, data: '192.0.2.1' },
    ],
    authorities: [{ type: 'NS', name: 'example.net', ttl: 9, data: 'ns.example.net' }],
    additionals: [{ type: 'AAAA', name: 'ns.example.net', ttl: 8, data: '2001:db8::53' }],
  })
  const message = readMessage(Buffer.concat([bytes, Buffer.from('left over')]))
  t.match(message, {
    id: 4711,
    question: { name: 'api.example.com', type: 1, class: 1 },
    answers: [
      { name: 'api.example.com', type: 5, ttl: 300 },
      { name: 'edge.example.net', type: 1, ttl: 20 },
    ],
    authorities: [{ name: 'example.net', type: 2 }],
    additionals: [{ name: 'ns.example.net', type: 28 }],
  })
  t.same(message?.bytes, bytes, 'what follows the last record is left out')
})

t.test('two names never read alike', async (t) => {
  const read = (...labels: string[]) =>
    readName(
      Buffer.concat([
        ...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, 'latin1')])),
        Buffer.from([0]),
      ]),
      0,
    )?.name
  t.equal(read('api', 'example', 'com'), 'api.example.com')
  t.equal(read('api.example', 'com'), 'api\\.example.com')
  t.equal(read('a\\', 'com'), 'a\\\\.com')
  t.equal(read('\xe4', 'com'), '\\228.com')
  t.equal(read('\xc4', 'com'), '\\196.com', 'only ASCII letters have no case')
  t.equal(read('A b\0', 'COM'), 'a\\032b\\000.com')
  t.equal(read(), '.')
})

t.test('names that loop, run on, or leave the message are none', async (t) => {
  const head = Buffer.alloc(12)
  const at = (bytes: Buffer) => readName(Buffer.concat([head, bytes]), 12)
  t.equal(at(Buffer.from([0xc0, 12])), undefined, 'a pointer to itself')
  t.equal(at(Buffer.from([1, 97, 0xc0, 12])), undefined, 'a pointer to its own start')
  t.equal(at(Buffer.from([0xc0, 14, 0])), undefined, 'a pointer forwards')
  t.equal(at(Buffer.from([0xc0, 4])), undefined, 'a pointer into the header')
  t.equal(at(Buffer.from([0x41, 97])), undefined, 'a label type that was never used')
  t.equal(at(Buffer.from([5, 97])), undefined)
  t.equal(at(wireName(Array(128).fill('a').join('.'))), undefined, '257 octets')
  t.equal(at(wireName(Array(127).fill('a').join('.')))?.name.length, 253)
})

const answer = (message: Parameters<typeof wireMessage>[0]) => {
  const read = readMessage(wireMessage(message))
  return read && readAnswer(read)
}

t.test('an answer gives the addresses at the end of its chain, and no others', async (t) => {
  const found = answer({
    question: { name: 'api.example.com', type: 1 },
    answers: [
      { name: '@12', type: CNAME, data: wireName('edge.example.net') },
      { name: 'edge.example.net', type: 1, ttl: 30, data: Buffer.from([192, 0, 2, 1]) },
      { name: 'edge.example.net', type: 1, ttl: 90, data: Buffer.from([192, 0, 2, 1]) },
      {
        name: 'edge.example.net',
        type: 28,
        ttl: 5,
        data: Buffer.from('00000000000000000000ffffc0000209', 'hex'),
      },
      { name: 'edge.example.net', type: 1, data: Buffer.from([192, 0, 2]) },
      { name: 'edge.example.net', type: 1, class: 3, data: Buffer.from([192, 0, 2, 8]) },
      { name: 'other.example', type: 1, data: Buffer.from([192, 0, 2, 66]) },
    ],
    additionals: [{ name: 'ns.example', type: 1, data: Buffer.from([192, 0, 2, 67]) }],
  })
  t.same(found, {
    names: ['api.example.com', 'edge.example.net'],
    targets: [],
    entries: [
      { address: '192.0.2.1', ttlSeconds: 90 },
      { address: '192.0.2.9', ttlSeconds: 5 },
    ],
  })
})

t.test('an HTTPS answer gives its hints, its targets and their additional addresses', async (t) => {
  const found = answer({
    question: { name: 'api.example.com', type: HTTPS },
    answers: [
      { name: '@12', type: HTTPS, data: serviceBinding(1, 'svc.example.net', ALPN, HINT4, HINT6) },
      { name: '@12', type: HTTPS, data: serviceBinding(2, '.', ALPN) },
    ],
    additionals: [{ name: 'svc.example.net', type: 1, ttl: 7, data: Buffer.from([192, 0, 2, 8]) }],
  })
  t.same(found?.targets, ['svc.example.net'])
  t.same(
    found?.entries.map(({ address }) => address),
    ['192.0.2.7', '2001:db8::7', '192.0.2.8'],
  )
})

t.test('aliases in a circle end', async (t) => {
  const found = answer({
    question: { name: 'a.example', type: 1 },
    answers: [
      { name: 'a.example', type: CNAME, data: wireName('b.example') },
      { name: 'b.example', type: CNAME, data: wireName('a.example') },
    ],
  })
  t.same(found?.names, ['a.example', 'b.example'])
})

/** Question name at 12, its `example.com` at 16; the HTTPS record right behind the question. */
const withEch = (params: Buffer[], flags = 0x81a0) => {
  const question = { name: 'api.example.com', type: HTTPS }
  const first = { name: '@12', type: HTTPS, data: serviceBinding(1, 'svc.example.net', ...params) }
  const afterQuestion = 12 + wireName(question.name).length + 4
  const afterFirst = afterQuestion + 12 + first.data.length
  return wireMessage({
    flags,
    question,
    answers: [first, { name: `@${afterQuestion}`, type: CNAME, data: wireName('edge@16') }],
    authorities: [
      // Points to "edge", which lies behind what is cut.
      {
        name: `@${afterFirst + 12}`,
        type: 6,
        data: Buffer.concat([wireName(`ns@${afterFirst + 12}`), wireName('.'), Buffer.alloc(20)]),
      },
    ],
    additionals: [opt(1232, { dnssecOk: true })],
  })
}

t.test('takes ech out of HTTPS and SVCB records and leaves the rest as it means', async (t) => {
  const bytes = withEch([ALPN, HINT4, ECH, HINT6])
  const message = readMessage(bytes)
  t.ok(message)
  const stripped = message && withoutEch(message)
  t.equal(stripped?.length, bytes.length - ECH.length)
  t.notOk(stripped?.includes('an ECHConfigList'))
  t.equal(stripped?.readUInt16BE(2), 0x8180, 'AD is cleared')
  const [before, after] = [dnsPacket.decode(bytes), dnsPacket.decode(stripped ?? bytes)]
  t.same(after.answers?.[1], before.answers?.[1])
  t.same(after.authorities, before.authorities, 'pointers over the cut still mean the same')
  t.match(after.authorities, [{ name: 'edge.example.com', data: { mname: 'ns.edge.example.com' } }])
  t.same(after.additionals, before.additionals)
  const read = stripped && readMessage(stripped)
  t.same(read && readAnswer(read)?.entries.length, 2, 'the hints are still there')
  const without = withEch([ALPN, HINT4, HINT6])
  t.same(
    stripped,
    Buffer.concat([without.subarray(0, 2), u16(0x8180), without.subarray(4)]),
    'as if it had never had any',
  )
})

t.test('ech goes from the mandatory keys too', async (t) => {
  const strip = (mandatory: number[]) => {
    const message = readMessage(withEch([svcParam(0, Buffer.concat(mandatory.map(u16))), ALPN, ECH]))
    return message && withoutEch(message)
  }
  const kept = withEch([svcParam(0, u16(1)), ALPN], 0x8180)
  t.same(strip([1, 5]), kept)
  t.same(strip([5]), withEch([ALPN], 0x8180), 'an empty list is left out')
})

t.test('answers without ech stay byte for byte, whatever records they hold', async (t) => {
  for (const bytes of [
    withEch([ALPN, HINT4]),
    wireMessage({
      flags: 0x81a0,
      question: { name: 'x.example', type: 65280 },
      answers: [
        { name: '@12', type: 65280, data: Buffer.from([0xc0, 0xff, 0, 5]) },
        { name: '@12', type: 46, data: Buffer.alloc(90, 7) },
      ],
    }),
  ]) {
    const message = readMessage(bytes)
    t.equal(message && withoutEch(message)?.equals(bytes), true)
  }
})

t.test('nothing is promised of service bindings that can be read in two ways', async (t) => {
  for (const [what, params] of [
    ['keys out of order', [ECH, ALPN]],
    ['a key twice', [ECH, ECH]],
    ['cut short', [ALPN, ECH.subarray(0, -1)]],
    ['an odd list of mandatory keys', [svcParam(0, Buffer.from([0, 5, 0])), ECH]],
    ['half an address', [svcParam(4, Buffer.from([1, 2, 3]))]],
  ] as const) {
    const message = readMessage(withEch([...params]))
    t.equal(message && withoutEch(message), undefined, what)
  }
})

const asked = (bytes: Buffer) => {
  const query = readQuery(bytes)
  if (query === undefined || Buffer.isBuffer(query)) throw new Error('no query')
  return query
}

t.test('a query goes upstream with its question as written, and none of the client’s options', async (t) => {
  const bytes = wireMessage({
    id: 7,
    flags: 0x0170,
    question: { name: 'aPi.ExAmple.com', type: 1 },
    additionals: [opt(4096, { dnssecOk: true, data: Buffer.from('000a0008cookiecoo', 'latin1') })],
  })
  const query = asked(bytes)
  const upstream = formatQuery(query, 0xbeef)
  t.notOk(upstream.includes('cookie'))
  t.equal(upstream.readUInt16BE(0), 0xbeef)
  t.equal(upstream.readUInt16BE(2), 0x0130, 'RD, AD and CD; the reserved bit is not passed on')
  t.ok(upstream.includes('aPi'), 'case is kept')
  t.match(dnsPacket.decode(upstream), {
    questions: [{ name: 'aPi.ExAmple.com', type: 'A' }],
    additionals: [{ type: 'OPT', udpPayloadSize: 1232, flag_do: true, options: [] }],
  })
  t.equal(query.limit, 1232)
  const plain = asked(wireMessage({ flags: 0x0100, question: { name: 'x.example', type: 1 } }))
  t.equal(plain.limit, 512)
  t.equal(dnsPacket.decode(formatQuery(plain, 1)).additionals?.length, 0)
})

t.test('what is no query is dropped or refused, never longer than it came', async (t) => {
  const question = { name: 'x.example', type: 1 }
  t.equal(readQuery(Buffer.alloc(11)), undefined)
  t.equal(readQuery(wireMessage({ question })), undefined, 'an answer')
  const rcode = (bytes: Buffer) => {
    const reply = readQuery(bytes)
    t.ok(Buffer.isBuffer(reply) && reply.length <= bytes.length)
    return Buffer.isBuffer(reply) ? reply.readUInt16BE(2) & 15 : -1
  }
  t.equal(rcode(wireMessage({ flags: 0x2900, question })), 4, 'an update')
  t.equal(rcode(wireMessage({ flags: 0x0100 })), 1, 'no question')
  t.equal(rcode(wireMessage({ flags: 0x0100, question, additionals: [opt(), opt()] })), 1, 'two OPT records')
  t.equal(
    rcode(wireMessage({ flags: 0x0100, question, answers: [{ name: '.', type: 1, data: Buffer.alloc(4) }] })),
    1,
  )
  const badVersion = readQuery(
    wireMessage({ flags: 0x0100, question, additionals: [opt(1232, { version: 1 })] }),
  )
  t.match(Buffer.isBuffer(badVersion) && dnsPacket.decode(badVersion), {
    additionals: [{ extendedRcode: 1 }],
  })
})

t.test('an answer counts only with the id and the question that were sent', async (t) => {
  const query = asked(wireMessage({ flags: 0x0100, question: { name: 'X.example', type: 1 } }))
  const counts = (message: Parameters<typeof wireMessage>[0]) => {
    const read = readMessage(wireMessage(message))
    return read !== undefined && answers(read, query, 99)
  }
  const question = { name: 'x.exAMPle', type: 1 }
  t.equal(counts({ id: 99, question }), true)
  t.equal(counts({ id: 98, question }), false)
  t.equal(counts({ id: 99, question: { name: 'y.example', type: 1 } }), false)
  t.equal(counts({ id: 99, question: { name: 'x.example', type: 28 } }), false)
  t.equal(counts({ id: 99, flags: 0x0100, question }), false, 'a query')
  t.equal(counts({ id: 99 }), false, 'no question and no error')
  t.equal(counts({ id: 99, flags: 0x8181 }), true, 'a server that could not read it')
})

t.test('the client gets its own id and spelling back, and no more than it takes', async (t) => {
  const query = asked(wireMessage({ id: 5, flags: 0x0100, question: { name: 'x.ExamplE', type: 16 } }))
  const long = { name: '@12', type: 16, data: Buffer.alloc(600, 65) }
  const message = readMessage(
    wireMessage({ id: 99, question: { name: 'x.example', type: 16 }, answers: [long] }),
  )
  const mine = message && addressedTo(query, message)
  t.equal(mine?.readUInt16BE(0), 5)
  t.ok(mine?.includes('ExamplE'))
  const cut = mine && fit(query, mine, query.limit)
  t.match(cut && dnsPacket.decode(cut), {
    flag_tc: true,
    answers: [],
    questions: [{ name: 'x.ExamplE' }],
    id: 5,
  })
  t.equal(mine && fit(query, mine, 65_535), mine)
})

t.test('refusals say why to clients that know EDNS', async (t) => {
  const query = asked(
    wireMessage({ flags: 0x0110, question: { name: 'x.example', type: 1 }, additionals: [opt()] }),
  )
  const reply = formatReply(query, 3, { code: 15, text: 'why' })
  t.match(dnsPacket.decode(reply), {
    rcode: 'NXDOMAIN',
    flag_cd: true,
    flag_ra: true,
    additionals: [{ type: 'OPT' }],
  })
  t.ok(reply.includes(Buffer.concat([u16(15), u16(5), u16(15), Buffer.from('why')])))
})

t.test(
  'an answer with a name that is read across the keys is refused: without them it would be another',
  (t) => {
    // The second answer's name points before the first answer, whose length octets then count as labels.
    const hex =
      '000181a0000100020001000103617069076578616d706c6503636f6d0000410001c00c004100010000003c004a0001037376' +
      '63076578616d706c65036e6574000001000302683200040004c000020700050010616e20454348436f6e6669674c69737400' +
      '06001020010db8000000000000000000000007c020000500010000003c00070465646765c010c083000600010000003c001a' +
      '026e73c08300000000000000000000000000000000000000000000002904d0000080000000'
    t.equal(withoutEch(readMessage(Buffer.from(hex, 'hex'))!), undefined)
    t.end()
  },
)

t.test('no bytes make the readers throw, and what passes without ech has none', async (t) => {
  const seeds = [
    withEch([ALPN, HINT4, ECH, HINT6]),
    wireMessage({ flags: 0x0100, question: { name: 'api.example.com', type: 1 }, additionals: [opt()] }),
    Buffer.from(
      dnsPacket.encode({
        type: 'response',
        id: 1,
        questions: [{ type: 'A', name: 'a.b' }],
        answers: [{ type: 'MX', name: 'a.b', data: { exchange: 'mx.a.b', preference: 1 } }],
      }),
    ),
  ]
  const edit = fc.tuple(fc.nat(400), fc.nat(255), fc.constantFrom('set', 'cut', 'insert'))
  const mutated = fc
    .tuple(fc.constantFrom(...seeds), fc.array(edit, { maxLength: 6 }))
    .map(([seed, edits]) => {
      let bytes = Buffer.from(seed)
      for (const [at, value, how] of edits) {
        const place = at % (bytes.length + 1)
        if (how === 'set' && place < bytes.length) bytes[place] = value
        if (how === 'cut') bytes = bytes.subarray(0, place)
        if (how === 'insert')
          bytes = Buffer.concat([bytes.subarray(0, place), Buffer.from([value]), bytes.subarray(place)])
      }
      return bytes
    })
  const random = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))
  fc.assert(
    fc.property(fc.oneof(mutated, random), (bytes) => {
      const query = readQuery(bytes)
      if (query !== undefined && !Buffer.isBuffer(query)) {
        const again = readQuery(formatQuery(query, 1))
        if (again === undefined || Buffer.isBuffer(again) || again.question.name !== query.question.name)
          return false
      }
      const message = readMessage(bytes)
      if (!message) return true
      readAnswer(message)
      const stripped = withoutEch(message)
      if (stripped === undefined) return true
      const reread = readMessage(stripped)
      if (!reread || reread.answers.length !== message.answers.length) return false
      const same = reread.answers.every(
        ({ name, type }, i) => name === message.answers[i]?.name && type === message.answers[i]?.type,
      )
      return same && withoutEch(reread) === reread.bytes
    }),
    { numRuns: 20_000 },
  )
  t.pass()
})
