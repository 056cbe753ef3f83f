/** What root does to the rules, one thing at a time and at random. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { OPENAI } from '../../lab/addresses.ts'
import { FOREIGN_RULESETS, reload } from '../../lab/foreign-tables.ts'
import { spawnIn } from '../../lab/network.ts'
import { PATH } from '../../lab/places.ts'
import { childrenOf } from '../../lab/processes.ts'
import { asRoot, nft, until } from '../bypass/lifecycle.ts'
import type { World } from '../bypass/world.ts'

/** Commands by one nft that stays, so that none waits for a program to start. */
interface Hand {
  /** One transaction; says whether the kernel took it. */
  run(script: string): Promise<boolean>
  end(): void
}

function openHand(): Hand {
  const child = spawnIn('host', 'root', ['nft', '-i'], {
    env: { PATH, HOME: '/dev/null' },
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  let said = ''
  let heard = () => {}
  child.stderr!.on('data', (chunk: Buffer) => {
    said += chunk.toString()
    heard()
  })
  let count = 0
  return {
    async run(script) {
      // nft complains of the word that ends a command, and of nothing else where the command was taken.
      const word = `done_${++count}`
      said = ''
      const complained = new Promise<void>((resolve) => {
        heard = () => said.includes(`\n${word}\n`) && resolve()
      })
      child.stdin!.write(`${script.trim().replaceAll('\n', '; ')}\n${word}\n`)
      await complained
      return said.match(/^Error:/gm)?.length === 1
    },
    end: () => void child.stdin!.end(),
  }
}

const TABLES = ['inet aa_fence', 'netdev aa_fence']
const RESTORED_MS = 30_000

/** Once: it takes seconds in which nothing else may be changed. */
const KILL = 'a helper killed'

export interface Tamperer {
  /** Changes something; resolves when it is done. */
  change(): Promise<void>
  /** How often each kind has been done. */
  readonly done: ReadonlyMap<string, number>
  /** What was done, and when, in milliseconds since 1970. */
  readonly acts: readonly string[]
  /** Milliseconds in which it changed nothing, for the sake of a helper's end. */
  waited(): number
  /** Takes away what was added. */
  end(): Promise<void>
  /** Lets go of the processes that it uses. */
  close(): void
}

/** The fence without its counts and the order of its elements. */
export async function fenceText(): Promise<string> {
  const listings = await Promise.all(
    TABLES.map((table) => asRoot(['nft', '--stateless', 'list', 'table', ...table.split(' ')])),
  )
  return listings
    .flatMap(({ stdout }) => stdout.split('\n'))
    .sort()
    .join('\n')
}

/** Whether it is one that stays, by its arguments: others list something and end. */
const LASTING = /\0(?:-i|monitor)\0/
const WATCH = /\0monitor\0/

function runsAs(pid: number, kind: RegExp): boolean {
  try {
    return kind.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
  } catch {
    return false
  }
}

/** Numbers in [0, 1) that a seed decides (mulberry32). */
function dice(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export async function tamperer(world: World, seed: number): Promise<Tamperer> {
  const next = dice(seed)
  const one = <T>(all: readonly T[]): T => all[Math.floor(next() * all.length)]!
  const supervisor = (await world.gateway.state())!.pid
  const helpers = (kind = LASTING) =>
    childrenOf(supervisor).filter(({ pid, name }) => name === 'nft' && runsAs(pid, kind))
  const reference = await fenceText()
  const stands = async () => {
    const { stdout } = await asRoot(['nft', '-t', 'list', 'ruleset'])
    const owned = ['inet', 'netdev'].every((family) => stdout.includes(`table ${family} aa_redirect {`))
    // The session that writes to the fence is opened again when there is something to write, and not before.
    return owned && helpers(WATCH).length > 0 && (await fenceText()) === reference
  }
  const hand = openHand()
  const script = (text: string) => () => hand.run(text)
  let links = 0
  let foreign = ''

  const kinds: Readonly<Record<string, () => Promise<boolean>>> = {
    'all rules flushed': script('flush ruleset'),
    'a table deleted': () => script(`delete table ${one(TABLES)}`)(),
    'a table put to sleep': script('add table inet aa_fence { flags dormant; }'),
    'a chain flushed': () => {
      const [table, chains] = one([
        ['inet aa_fence', ['output', 'forward', 'input', 'provider', 'refuse', 'outside']],
        ['netdev aa_fence', ['egress', 'judge', 'raw', 'raw_governed', 'refuse']],
      ] as const)
      return script(`flush chain ${table} ${one<string>(chains)}`)()
    },
    'a chain deleted': () => {
      const chain = one(['inet aa_fence output', 'inet aa_fence forward', 'netdev aa_fence egress'])
      return script(`flush chain ${chain}\ndelete chain ${chain}`)()
    },
    'a set flushed': () => script(`flush set ${one(TABLES)} ${one(['llm4', 'llm6', 'proxy_uids'])}`)(),
    'an address deleted': () =>
      script(
        `delete element ${one(TABLES)} ${one([`llm4 { ${OPENAI.address4} }`, `llm6 { ${OPENAI.address6} }`])}`,
      )(),
    'a user let through': () => script(`add element ${one(TABLES)} proxy_uids { ${one([0, 4001, 4002])} }`)(),
    'an accept inserted': () =>
      script(
        `insert rule ${one(['inet aa_fence output', 'inet aa_fence forward', 'netdev aa_fence judge'])} accept`,
      )(),
    'a table of accepts added': script(
      'add table inet theirs\nadd chain inet theirs first { type filter hook output priority -400; policy accept; }\nadd rule inet theirs first accept',
    ),
    'a firewall loaded and taken away': async () => {
      foreign = one(Object.values(FOREIGN_RULESETS))
      const { code } = await nft(reload(foreign))
      await sleep(100)
      await unload()
      return code === 0
    },
    [KILL]: async () => {
      await until(stands, RESTORED_MS)
      if (!(await stands())) return false
      const helper = one(helpers())
      if (helper === undefined) return false
      process.kill(helper.pid, 'SIGKILL')
      const isGone = () => helpers().every(({ pid }) => pid !== helper.pid)
      await until(async () => isGone() && (await stands()), RESTORED_MS)
      return true
    },
    'an uplink added and taken away': async () => {
      const name = `up${++links}`
      const added = await asRoot(['ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`])
      await asRoot(['ip', 'link', 'set', name, 'up'])
      await sleep(100)
      await asRoot(['ip', 'link', 'delete', name])
      return added.code === 0
    },
  }
  const unload = async () => {
    const tables = [...foreign.matchAll(/^table (\S+ \S+) \{/gm)].map(([, table]) => table)
    await hand.run(tables.map((table) => `add table ${table}\ndelete table ${table}`).join('\n'))
    foreign = ''
  }

  const done = new Map(Object.keys(kinds).map((kind) => [kind, 0]))
  const acts: string[] = []
  let waited = 0
  return {
    done,
    acts,
    waited: () => waited,
    async change() {
      // One that was done least often: each has its turn.
      const open = [...done].filter(([name, times]) => name !== KILL || times === 0)
      const least = Math.min(...open.map(([, times]) => times))
      const kind = one(open.filter(([, times]) => times === least).map(([name]) => name))
      const from = Date.now()
      if (await kinds[kind]!()) done.set(kind, done.get(kind)! + 1)
      if (kind === KILL) waited += Date.now() - from
      acts.push(`${from}, for ${Date.now() - from} ms: ${kind}`)
    },
    async end() {
      if (foreign !== '') await unload()
      await hand.run('add table inet theirs\ndelete table inet theirs')
    },
    close: hand.end,
  }
}
