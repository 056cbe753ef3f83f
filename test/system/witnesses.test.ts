/**
 * Two gateways that witness each other, by their real processes: killed, put back from a copy, shown two histories. No
 * root and no network needed.
 */
import { randomUUID } from 'node:crypto'
import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { witnessHealth } from '../../cli/health/served.ts'
import type { Cosigning } from '../../daemon/http/messages.ts'
import { parseSignedCheckpoint } from '../../daemon/ledger/checkpoint.ts'
import { cosigner } from '../../daemon/ledger/cosignature.ts'
import { newestCosigned } from '../../daemon/ledger/cosigned-file.ts'
import { type Ledger, openLedger } from '../../daemon/ledger/ledger.ts'
import { ed25519Signer } from '../../daemon/ledger/note.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import { formatAddCheckpoint } from '../../daemon/witness/add-checkpoint.ts'
import { freePort, type Server, startServer } from '../foreign-verifier/served-log.ts'
import { ForeignVerifier } from '../foreign-verifier/verifier.ts'
import { caused, remedied } from '../lab/health.ts'
import { temporaryDirectory } from '../unit/ledger-fixture.ts'

t.setTimeout(120_000)

class Gateway {
  readonly name: string
  readonly dir: string
  readonly state: string
  readonly port: number
  readonly #signer
  readonly #seed: Buffer
  ledger!: Ledger
  witness!: Server
  client!: Server
  cosigning: Cosigning | undefined

  constructor(t: Test, name: string, number: number, port: number) {
    this.name = name
    this.dir = temporaryDirectory(t)
    this.state = temporaryDirectory(t)
    this.port = port
    this.#signer = ed25519Signer(`${name}.example/log`, Buffer.alloc(32, number))
    this.#seed = Buffer.alloc(32, number + 100)
  }

  get key(): string {
    return this.#signer.verifierKey
  }

  get witnessKey(): string {
    return cosigner(`${this.name}.example/witness`, this.#seed).verifierKey
  }

  async open(): Promise<void> {
    const { dir, name } = this
    const { sign, verifierKey } = this.#signer
    this.ledger = await openLedger({
      dir,
      origin: `${name}.example/log`,
      sign,
      verifierKey,
      checkpointIntervalMs: 50,
    })
  }

  async startWitness(logs: string[]): Promise<void> {
    const { port, state: dir } = this
    const start = {
      listen: { address: '127.0.0.1', port },
      dir,
      name: `${this.name}.example/witness`,
      key: this.#seed,
      logs,
    }
    this.witness = await startServer('witness', start, [
      `--allow-fs-read=${dir}/`,
      `--allow-fs-write=${dir}/`,
    ])
  }

  async startClient(url: string, key: string): Promise<void> {
    const { dir } = this
    const written = ['cosigned', '.cosigned.next'].map((name) => `--allow-fs-write=${dir}/${name}`)
    const allowed = [`--allow-fs-read=${dir}/`, ...written]
    this.client = await startServer(
      'witness-client',
      { ledger: dir, atLeast: 1, of: [{ url, key }] },
      allowed,
      (state) => {
        this.cosigning = state
      },
    )
  }

  async append(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.ledger.append(Buffer.from(randomUUID()))))
  }
}

const [alice, bob] = [
  new Gateway(t, 'alice', 1, await freePort()),
  new Gateway(t, 'bob', 2, await freePort()),
]
const foreign = ForeignVerifier.build()
t.teardown(async () => {
  for (const { client, witness, ledger } of [alice, bob]) {
    await client.stop()
    await witness.stop()
    await ledger.close()
  }
  await foreign.end()
})

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(20)
}

const cosignedSize = (gateway: Gateway, by: Gateway) =>
  newestCosigned(gateway.dir, gateway.key, [by.witnessKey], 1)?.checkpoint.size
const whole = (gateway: Gateway, by: Gateway) =>
  until(() => cosignedSize(gateway, by) === gateway.ledger.size)
const post = async (to: Gateway, body: string) => {
  const answer = await fetch(`${to.witness.url}/add-checkpoint`, { method: 'POST', body })
  return { status: answer.status, text: await answer.text() }
}

t.test('each cosigns the other, from the first leaf on, while both grow', async (t) => {
  for (const [self, other] of [
    [alice, bob],
    [bob, alice],
  ] as const) {
    await self.open()
    await self.startWitness([other.key])
  }
  await alice.startClient(bob.witness.url, bob.witnessKey)
  await bob.startClient(alice.witness.url, alice.witnessKey)
  for (let i = 0; i < 5; i++) {
    await Promise.all([alice.append(7 + i), bob.append(300)])
    await Promise.all([whole(alice, bob), whole(bob, alice)])
  }
  t.equal(cosignedSize(alice, bob), 45n)
  t.equal(cosignedSize(bob, alice), 1500n)
  t.equal(alice.cosigning?.witnesses[0]?.error, undefined)
})

t.test('who shares no code with us accepts what they cosigned', async (t) => {
  const port = await freePort()
  const start = { listen: { address: '127.0.0.1', port }, ledger: alice.dir, entries: false }
  const server = await startServer('log-server', start, [`--allow-fs-read=${alice.dir}/`])
  const answer = await foreign.ask('follow', { key: alice.key, cosigners: [bob.witnessKey], log: server.url })
  t.match(answer, { ok: true, size: 45n, cosigned: 1 })
  await server.stop()
})

t.test('a split view is refused, and the true log goes on', async (t) => {
  // The same key, another history: what a thief of alice's log key would show.
  const dir = temporaryDirectory(t)
  const thief = new Gateway(t, 'alice', 1, 0)
  Object.assign(thief, { dir })
  await thief.open()
  for (let i = 0; i < 60; i++) await thief.ledger.append(Buffer.from(`forged ${i}`))
  await thief.ledger.close()
  const reader = openReader(dir)
  const { note } = reader.checkpoint()!
  const known = cosignedSize(alice, bob)!
  const old = { oldSize: 0n, proof: [], note }
  t.match(await post(bob, formatAddCheckpoint(old)), { status: 409, text: `${known}\n` })
  const proof = reader.consistencyProof(known, 60n)
  t.match(await post(bob, formatAddCheckpoint({ oldSize: known, proof, note })), { status: 422 })
  await alice.append(15)
  await whole(alice, bob)
  // Now the two are of one size.
  t.match(await post(bob, formatAddCheckpoint({ oldSize: 60n, proof: [], note })), {
    status: 409,
    text: '60\n',
  })
})

t.test('killed at any moment, a witness never cosigns two roots of a size or steps back', async (t) => {
  const cosigned = new Map<bigint, string>()
  let last = 0n
  for (let round = 0; round < 10; round++) {
    const appending = alice.append(20)
    await sleep(10 * round)
    await bob.witness.kill()
    await appending
    await bob.startWitness([alice.key])
    await whole(alice, bob)
    const [file] = readdirSync(bob.state).filter((name) => !name.endsWith('.next'))
    const remembered = parseSignedCheckpoint(readFileSync(join(bob.state, file!), 'utf8'))
    if (remembered.size < last) t.fail(`back from ${last} to ${remembered.size}`)
    last = remembered.size
    const root = remembered.root.toString('hex')
    if ((cosigned.get(last) ?? root) !== root) t.fail(`two roots for ${last}`)
    cosigned.set(last, root)
  }
  t.equal(last, alice.ledger.size)
})

t.test('a log that was put back from a copy is refused, and says so', async (t) => {
  await alice.ledger.close()
  const copy = temporaryDirectory(t)
  cpSync(alice.dir, copy, { recursive: true })
  await alice.open()
  await alice.append(30)
  await whole(alice, bob)
  const before = alice.ledger.size
  await alice.client.stop()
  await alice.ledger.close()
  const trueHistory = temporaryDirectory(t)
  cpSync(alice.dir, trueHistory, { recursive: true })
  rmSync(alice.dir, { recursive: true })
  cpSync(copy, alice.dir, { recursive: true })
  await alice.open()
  await alice.startClient(bob.witness.url, bob.witnessKey)
  await until(() => alice.cosigning?.witnesses[0]?.alarm === true)
  t.match(
    alice.cosigning?.witnesses[0]?.error,
    `it says that it cosigned ${before} leaves of this log, which has ${before - 30n}`,
  )
  // Once it has as many leaves again they are others.
  await alice.append(31)
  await until(() => /refuses our proof/.test(alice.cosigning?.witnesses[0]?.error ?? ''))
  const cosignedNow = cosignedSize(alice, bob)
  t.ok(cosignedNow! < before, 'nothing of the second history was cosigned')

  const states = () => witnessHealth(alice.cosigning)
  const { remedy } = await caused(t, states, 'witness.contradiction')
  t.match(remedy, /it was put back from a copy/)
  // What was found out: the newest one is put back in its place.
  await alice.client.stop()
  await alice.ledger.close()
  rmSync(alice.dir, { recursive: true })
  cpSync(trueHistory, alice.dir, { recursive: true })
  alice.cosigning = undefined
  await alice.open()
  await alice.startClient(bob.witness.url, bob.witnessKey)
  await alice.append(1)
  await whole(alice, bob)
  await remedied(t, states, 'witness.contradiction')
})
