import t from 'tap'
import { type Transaction, transactionReader } from '../../firewall/ruleset-events.ts'
import { differenceOf, parseListing, strangersIn } from '../../firewall/ruleset-listing.ts'

function read(text: string): { transactions: Transaction[]; lost: string[] } {
  const transactions: Transaction[] = []
  const lost: string[] = []
  const reader = transactionReader({
    committed: (transaction) => void transactions.push(transaction),
    lost: (why) => void lost.push(why),
  })
  for (const line of text.split('\n')) reader.line(line)
  reader.idle()
  return { transactions, lost }
}

t.test('lines up to a generation are one transaction of the process that it names', async (t) => {
  const { transactions, lost } = read(`add table ip docker
add chain ip docker x { type filter hook output priority filter; policy accept; }
# new generation 7 by process 41 (dockerd)
insert rule inet aa_fence output accept
delete set inet aa_fence llm4
add element ip6 other s { ::1 }
# new generation 8 by process 42 (a (strange) name)
`)
  t.same(lost, [])
  t.match(transactions, [
    { generation: 7, pid: 41, process: 'dockerd', tables: [{ family: 'ip', name: 'docker', changes: 2 }] },
    {
      generation: 8,
      pid: 42,
      process: 'a (strange) name',
      tables: [
        { family: 'inet', name: 'aa_fence', what: 'insert rule inet aa_fence output accept', changes: 2 },
        { family: 'ip6', name: 'other', what: 'add element ip6 other s { ::1 }', changes: 1 },
      ],
    },
  ])
})

t.test(
  'of several changes to a table the one that turns packets is named, else the one that hooks a chain in',
  async (t) => {
    const { transactions } = read(`add table ip evil
add chain ip evil o { type nat hook output priority -150; policy accept; }
add rule ip evil o ip daddr 203.0.113.10 dnat to 192.0.2.1
add rule ip evil o accept
add table inet other
add chain inet other o { type filter hook output priority -300; policy accept; }
add rule inet other o accept
add set ip sets redirected { type ipv4_addr; }
# new generation 7 by process 41 (nft)`)
    t.match(transactions[0]?.tables, [
      {
        name: 'evil',
        weight: 'turns',
        changes: 4,
        what: 'add rule ip evil o ip daddr 203.0.113.10 dnat to 192.0.2.1',
      },
      { name: 'other', weight: 'hooks', changes: 3, what: /priority -300/ },
      { name: 'sets', weight: 'other' },
    ])
  },
)

t.test('objects of every kind are read', async (t) => {
  for (const line of [
    'delete table inet aa_fence',
    'add table inet aa_fence { flags dormant; }',
    'replace rule inet aa_fence output handle 4 accept',
    'add ct helper inet aa_fence ftp { type "ftp" protocol tcp; }',
    'add flowtable inet aa_fence f { hook ingress priority filter; devices = { eth0 }; }',
    'delete counter inet aa_fence c',
    'add map inet aa_fence m { type ipv4_addr : verdict; }',
    'destroy chain inet aa_fence output',
  ]) {
    const { transactions } = read(`${line}\n# new generation 1 by process 2 (nft)`)
    t.match(transactions[0]?.tables, [{ family: 'inet', name: 'aa_fence', what: line }], line)
  }
})

t.test('a kernel that names no process, and a change that no generation follows', async (t) => {
  t.match(read('add table ip a\n# new generation 3\ndelete chain netdev aa_fence eth0').transactions, [
    { generation: 3, pid: undefined, process: undefined },
    { generation: undefined, pid: undefined, tables: [{ family: 'netdev', name: 'aa_fence' }] },
  ])
})

t.test('a transaction that nft could not print is one without tables', async (t) => {
  t.match(read('# new generation 3 by process 9 (nft)').transactions, [{ pid: 9, tables: [] }])
})

t.test('a comment can’t pass for the end of a transaction', async (t) => {
  const { transactions, lost } = read(`# new generation 4 by process 1 (nft)
delete rule inet aa_fence output handle 3
add rule ip mine x accept comment "
# new generation 5 by process 1 (nft)
"
# new generation 5 by process 666 (evil)
`)
  t.equal(lost.length, 1, 'the true generation gives it away')
  t.equal(transactions.length, 3)
})

t.test('missing generations and lost news are told', async (t) => {
  t.same(read('# new generation 4\n# new generation 5\n# new generation 6').lost, [])
  t.equal(read('# new generation 4\n# new generation 6').lost.length, 1)
  t.equal(read('# ERROR: We lost some netlink events!').lost.length, 1)
  const many = Array.from({ length: 5000 }, (_, i) => `add table ip t${i}`).join('\n')
  const { transactions, lost } = read(`${many}\n# new generation 1 by process 1 (x)`)
  t.equal(transactions[0]?.tables.length, 4096)
  t.equal(lost.length, 1)
})

t.test('what others wrote is cut and printable', async (t) => {
  const { transactions } = read(
    `add rule ip a b comment "\u001b[2J${'x'.repeat(1000)}"\n# new generation 1 by process 1 (\u0007)`,
  )
  t.equal(transactions[0]?.process, '?')
  t.match(transactions[0]?.tables[0]?.what, /^add rule ip a b comment "\?\[2Jx{130,140}$/)
})

const FENCE = `table inet aa_fence {
	counter c {
	}

	set llm4 {
		type ipv4_addr
		elements = { 203.0.113.7, 203.0.113.8,
			     203.0.113.9 }
	}

	set lease {
		type inet_proto
		flags timeout
		elements = { tcp timeout 10s expires 4s }
	}

	chain output {
		type filter hook output priority filter + 10; policy accept;
		ip daddr @llm4 counter name "c" reject
	}
}
`
const listing = (text: string) => parseListing(text, true)

t.test('listings are compared by content, not by order', async (t) => {
  const { objects, elements, head } = listing(FENCE)
  t.same([...objects.keys()], ['counter c', 'set llm4', 'set lease', 'chain output'])
  t.same([...(elements ?? [])], [['llm4', ['203.0.113.7', '203.0.113.8', '203.0.113.9']]])
  t.equal(head, '')
  const shuffled = FENCE.replace(/\tcounter c \{\n\t\}\n\n/, '')
    .replace(/\}\n$/, '\n\tcounter c {\n\t}\n}\n')
    .replace('203.0.113.7, 203.0.113.8', '203.0.113.8, 203.0.113.7')
    .replace('expires 4s', 'expires 2s')
  t.not(shuffled, FENCE)
  t.equal(differenceOf(listing(FENCE), listing(shuffled)), undefined)
})

t.test('every kind of change is a difference', async (t) => {
  const differs = (change: (text: string) => string) => {
    const changed = change(FENCE)
    t.not(changed, FENCE)
    return differenceOf(listing(FENCE), listing(changed))
  }
  t.equal(
    differs((text) => text.replace('{\n\tcounter', '{\n\tflags dormant\n\n\tcounter')),
    'flags: flags dormant',
  )
  t.equal(
    differs((text) => text.replace('ip daddr @llm4', 'accept\n\t\tip daddr @llm4')),
    'chain output is another',
  )
  t.equal(
    differs((text) => text.replace('policy accept', 'policy drop')),
    'chain output is another',
  )
  t.equal(
    differs((text) => text.replace('\tcounter c {\n\t}\n', '')),
    'counter c is gone',
  )
  t.equal(
    differs((text) => text.replace('\tset llm4', '\tchain evil {\n\t}\n\tset llm4')),
    'chain evil is strange',
  )
  t.equal(
    differs((text) => text.replace('203.0.113.8,', '')),
    'elements of llm4 are others',
  )
  t.equal(
    differs((text) => text.replace(/\t\telements = \{ 203[^}]*\}\n/, '')),
    'elements of llm4 are others',
  )
})

t.test('a terse listing is compared without elements', async (t) => {
  const terse = FENCE.replace(/\t\telements = [^}]*\}\n/g, '')
  t.equal(differenceOf(listing(FENCE), parseListing(terse, false)), undefined)
  t.equal(
    differenceOf(listing(FENCE), parseListing(terse.replace(' reject', ''), false)),
    'chain output is another',
  )
})

t.test('objects that the script doesn’t name are strangers', async (t) => {
  const script = `add table inet aa_fence
add counter inet aa_fence c
add set inet aa_fence llm4 { type ipv4_addr; }
add set inet aa_fence lease { type inet_proto; flags timeout; }
add chain inet aa_fence output { type filter hook output priority 10; policy accept; }
add chain netdev aa_fence evil
`
  t.same(strangersIn(listing(FENCE), script, 'inet', 'aa_fence'), [])
  const visited = FENCE.replace('\tset llm4', '\tchain evil {\n\t}\n\tset llm4')
  t.same(strangersIn(listing(visited), script, 'inet', 'aa_fence'), ['chain evil'])
})

t.test('text that is no listing, or half of one, gives no error', async (t) => {
  for (const text of [
    '',
    '}',
    '\t}',
    'table x {',
    FENCE.slice(0, 90),
    FENCE.slice(0, 130),
    '\n\n\tchain a {',
  ])
    t.doesNotThrow(() => listing(text))
})
