/** Each call of the ledger's file module fails, is cut or is the last one, in turn. LEDGER_DEPTH=deep: everything. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  anything,
  type Call,
  CrashDisk,
  contentOnly,
  everything,
  type Fault,
  type Image,
  namesOnly,
  nothing,
  type Survival,
} from './crash-disk.ts'
import { comeback, complaints, type Heard, heardNow, life, unheard } from './ledger-faults.ts'
import { leaf, open } from './ledger-fixture.ts'

const deep = process.env.LEDGER_DEPTH === 'deep'
const seed = Number(process.env.LEDGER_SEED ?? Math.floor(Math.random() * 2 ** 32))
t.comment(`LEDGER_SEED=${seed}`)
t.setTimeout(deep ? 3_600_000 : 280_000)

/** Mulberry32. */
function numbers(state: number): () => number {
  let a = state
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let x = Math.imul(a ^ (a >>> 15), a | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
}

function diskOf(t: Test, image?: Image): CrashDisk {
  const dir = mkdtempSync(join('/dev/shm', 'ledger-disk-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  return new CrashDisk(dir, image)
}

const halves: Survival = { ...everything, bytes: (length) => [[0, length >> 1]] }

const more: readonly [string, Survival][] = [
  ['the names', namesOnly],
  ['the content', contentOnly],
]

interface Moment {
  readonly call: Call
  /** What the world had heard by then. */
  readonly heard: Heard
  readonly left: readonly { readonly name: string; readonly image: Image }[]
}

/** What power losses after each call of a scenario could leave. */
async function moments(disk: CrashDisk, heard: Heard, random: () => number, scenario: () => Promise<void>) {
  const list: Moment[] = []
  disk.after((call) => {
    const survivals: [string, Survival][] = [
      ['everything', everything],
      ['nothing', nothing],
      ['half of each write', halves],
      ...(deep ? more : []),
      ...Array.from({ length: deep ? 40 : 1 }, (): [string, Survival] => ['anything', anything(random)]),
    ]
    const left = new Map<string, { name: string; image: Image }>()
    for (const [name, survival] of survivals) {
      const image = disk.image(survival)
      const same = [...image].map(([path, bytes]) => `${path} ${bytes?.toString('latin1')}`).join('\0')
      if (!left.has(same)) left.set(same, { name, image })
    }
    list.push({ call, heard: heardNow(heard), left: [...left.values()] })
  })
  await scenario()
  disk.after(() => {})
  return list
}

/** Looks at each disk that is left; what is wrong with any. */
async function lookAt(list: readonly Moment[]): Promise<{ images: number; bad: string[] }> {
  const bad: string[] = []
  let images = 0
  for (const { call, heard, left } of list) {
    for (const { name, image } of left) {
      images++
      for (const complaint of await complaints(image, heard))
        bad.push(`call ${call.number} ${call.name} ${call.path}, left ${name}: ${complaint}`)
    }
  }
  return { images, bad }
}

t.test(
  'whatever a power loss leaves after each call, nothing acknowledged or signed is taken back',
  async (t) => {
    const random = numbers(seed)
    const [disk, heard] = [diskOf(t), unheard()]
    const list = await moments(disk, heard, random, () => life(disk, heard))
    const { images, bad } = await lookAt(list)
    t.comment(`${list.length} calls, ${images} disks`)
    t.ok(list.length > 250 && images > 1.5 * list.length)
    t.same(bad.slice(0, 20), [])

    await t.test('nor does a second power loss, while the log comes back from the first', async (t) => {
      const one = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!
      let calls = 0
      // Torn ends of the write-ahead log, which a start cuts, and others.
      const torn = list.filter(({ call }) => call.name === 'writev' && /wal\/\d+\.wal$/.test(call.path))
      for (let run = 0; run < (deep ? 150 : 2); run++) {
        const { call, heard, left } = one(run % 2 === 0 ? torn : list)
        const { name, image } =
          left.find(({ name }) => run % 2 === 0 && name === 'half of each write') ?? one(left)
        const [disk, now] = [diskOf(t, image), heardNow(heard)]
        const second = await moments(disk, now, random, () => comeback(disk, now))
        calls += second.length
        t.same((await lookAt(second)).bad.slice(0, 5), [], `after call ${call.number}, left ${name}`)
      }
      t.comment(`${calls} calls`)
    })
  },
)

t.test('a directory that a killed start had made is made durable by the next start', async (t) => {
  const disk = diskOf(t)
  const killed = disk.boot()
  for (const name of ['log', 'log/wal', 'log/tile']) await killed.mkdir(join(disk.dir, name), 0o700)
  const ledger = await open(join(disk.dir, 'log'), { fs: disk.boot() })
  const index = await ledger.append(leaf(1))
  const heard: Heard = { ...unheard(), acknowledged: new Map([[index, leaf(1)]]) }
  const image = disk.image(nothing)
  // Else it would go on trying after its disk is gone.
  disk.boot()
  t.same(await complaints(image, heard), [])
})

/** Runs a life in which calls fail as planned; what is left then, after a restart and after a power loss. */
async function failing(
  t: Test,
  plan: (call: Call) => Fault | undefined,
): Promise<{ calls: number; bad: string[] }> {
  const disk = diskOf(t)
  const heard = unheard()
  disk.plan(plan)
  await life(disk, heard)
  const bad: string[] = []
  const left = [
    ['everything', everything],
    ['nothing', nothing],
  ] as const
  for (const [name, survival] of deep ? left : [left[disk.calls % 2]!]) {
    for (const complaint of await complaints(disk.image(survival), heard, deep))
      bad.push(`left ${name}: ${complaint}`)
  }
  return { calls: disk.calls, bad }
}

const FAULTS: readonly Fault[] = ['EIO', 'ENOSPC', 'short', 'late']

t.test(
  'whichever call fails, nothing acknowledged or signed is taken back, and the log goes on',
  async (t) => {
    const bad: string[] = []
    let calls = 1
    for (let at = 1; at <= calls; at++) {
      for (const fault of deep ? FAULTS : [FAULTS[at % FAULTS.length]!]) {
        let what = ''
        const result = await failing(t, (call) => {
          if (call.number !== at) return undefined
          what = `call ${at} ${call.name} ${call.path} ${fault}`
          return fault
        })
        calls = Math.max(calls, Math.min(result.calls, at + 1))
        bad.push(...result.bad.map((complaint) => `${what}: ${complaint}`))
      }
    }
    t.comment(`${calls} calls failed`)
    t.ok(calls > 150)
    t.same(bad.slice(0, 20), [])
  },
)

t.test('a disk that stays full or broken for a while takes nothing back', async (t) => {
  const random = numbers(seed + 1)
  const bad: string[] = []
  for (let run = 0; run < (deep ? 400 : 20); run++) {
    const from = 1 + Math.floor(random() * 260)
    const until = from + Math.floor(random() * 40)
    const fault = FAULTS[run % FAULTS.length]!
    const writesOnly = run % 2 === 0
    const result = await failing(t, ({ number, name }) =>
      number >= from && number < until && (!writesOnly || name === 'writev' || name === 'create')
        ? fault
        : undefined,
    )
    bad.push(...result.bad.map((complaint) => `${fault} from call ${from} to ${until}: ${complaint}`))
  }
  t.same(bad.slice(0, 20), [])
})
