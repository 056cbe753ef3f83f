/** Having checkpoints cosigned: by honest witnesses, by hostile ones, by enough of them. */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Cosigning } from '../../daemon/http/messages.ts'
import { cosigner } from '../../daemon/ledger/cosignature.ts'
import { newestCosigned } from '../../daemon/ledger/cosigned-file.ts'
import { noteText } from '../../daemon/ledger/note.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import { parseAddCheckpoint } from '../../daemon/witness/add-checkpoint.ts'
import { witness } from '../../daemon/witness/witness.ts'
import { type Outcome, witnessAt } from '../../daemon/witness-client/ask.ts'
import type { Post } from '../../daemon/witness-client/post.ts'
import { Rounds } from '../../daemon/witness-client/rounds.ts'
import { grow, signer, temporaryDirectory } from './ledger-fixture.ts'

const cosignerOf = (i: number) => cosigner(`witness.example/${i}`, Buffer.alloc(32, 40 + i))

/** An honest witness without a network between. */
function honest(t: Test, i: number, dir = temporaryDirectory(t)): Post {
  const handle = witness({ dir, cosigner: cosignerOf(i), logs: [signer.verifierKey] })
  return async (body) => {
    const answer = await handle({
      method: 'POST',
      path: '/add-checkpoint',
      gzip: false,
      body: Buffer.from(body),
    })
    return { status: answer.status, body: String(answer.body ?? '') }
  }
}

async function ask(t: Test, post: Post, size = 5): Promise<Outcome> {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, size)
  const reader = openReader(dir)
  return witnessAt(cosignerOf(0).verifierKey, post, reader).cosign(reader.checkpoint()!)
}

t.test('finds out by itself what the witness knows already', async (t) => {
  const dir = temporaryDirectory(t)
  const reader = openReader(dir)
  let asked = 0
  const post = honest(t, 0)
  const counting: Post = (body) => {
    asked += 1
    return post(body)
  }
  const sizes = [5, 9, 300]
  let last = 0
  for (const size of sizes) {
    await grow(dir, last, size)
    last = size
    // A client that knows nothing, as after a restart.
    const outcome = await witnessAt(cosignerOf(0).verifierKey, counting, reader).cosign(reader.checkpoint()!)
    t.ok('line' in outcome, JSON.stringify(outcome))
  }
  t.equal(asked, 1 + 2 + 2)
})

t.test('a hostile answer is never taken for a cosignature', async (t) => {
  const text = (body: string) => noteText(parseAddCheckpoint(Buffer.from(body)).note)
  const seconds = () => BigInt(Math.floor(Date.now() / 1000))
  const by =
    (line: (body: string) => string): Post =>
    async (body) => ({ status: 200, body: line(body) })
  const hostile: Record<string, Post> = {
    'another witness': by((body) => cosignerOf(1).cosign(text(body), seconds())),
    'the right name, another key': by((body) =>
      cosigner('witness.example/0', Buffer.alloc(32, 99)).cosign(text(body), seconds()),
    ),
    'an old time': by((body) => cosignerOf(0).cosign(text(body), seconds() - 3600n)),
    'a time to come': by((body) => cosignerOf(0).cosign(text(body), seconds() + 3600n)),
    'a time without sense': by((body) => cosignerOf(0).cosign(text(body), (1n << 63n) - 1n)),
    'another checkpoint': by((body) => cosignerOf(0).cosign(text(body).replace('\n5\n', '\n6\n'), seconds())),
    nothing: by(() => ''),
    words: by(() => 'thank you\n'),
    'a second checkpoint': by((body) => `\nother\n\n${cosignerOf(0).cosign(text(body), seconds())}`),
    'no size': async () => ({ status: 409, body: '' }),
    'a size that is none': async () => ({ status: 409, body: '-1\n' }),
    'sizes for ever': async () => ({ status: 409, body: `${Math.floor(Math.random() * 5)}\n` }),
    'a redirect': async () => ({ status: 302, body: '' }),
    'a failure': async () => ({ status: 500, body: 'oops' }),
    'an unknown log': async () => ({ status: 404, body: '' }),
    silence: async () => {
      throw new Error('no answer in time')
    },
  }
  for (const [what, post] of Object.entries(hostile)) {
    const outcome = await ask(t, post)
    t.match(outcome, { error: /./, alarm: false }, what)
  }
})

t.test('another history at the witness is an alarm', async (t) => {
  const state = temporaryDirectory(t)
  const longer = await ask(t, honest(t, 0, state), 9)
  t.ok('line' in longer)
  t.match(await ask(t, honest(t, 0, state), 5), {
    alarm: true,
    error: /cosigned 9 leaves of this log, which has 5/,
  })
  t.match(await ask(t, async (body) => ({ status: body.startsWith('old 0\n') ? 409 : 422, body: '3\n' })), {
    alarm: true,
  })
  t.match(await ask(t, async () => ({ status: 409, body: '5\n' })), {
    alarm: true,
    error: /another root for 5 leaves/,
  })
})

/** Runs rounds until a state fits. */
async function until(t: Test, posts: Post[], atLeast: number, fits: (state: Cosigning) => boolean) {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 5)
  const reader = openReader(dir)
  const witnesses = posts.map((post, i) => witnessAt(cosignerOf(i).verifierKey, post, reader))
  const { promise, resolve } = Promise.withResolvers<Cosigning>()
  let state: Cosigning | undefined
  const rounds = new Rounds({
    ledger: dir,
    reader,
    witnesses,
    atLeast,
    log: () => {},
    changed(now) {
      state = now
      if (fits(now)) resolve(now)
    },
  })
  const running = rounds.run()
  t.teardown(async () => {
    await rounds.stop()
    await running
  })
  return { dir, reached: await promise, state: () => state }
}

const never: Post = () => new Promise(() => {})
const keys = [0, 1, 2].map((i) => cosignerOf(i).verifierKey)

t.test('keeps a checkpoint as soon as enough have cosigned, whatever the others do', async (t) => {
  const { dir } = await until(t, [honest(t, 0), never, honest(t, 2)], 2, ({ size }) => size === '5')
  const found = newestCosigned(dir, signer.verifierKey, keys, 2)
  t.equal(found?.checkpoint.size, 5n)
  t.same(found?.cosignatures.map(({ name }) => name).sort(), ['witness.example/0', 'witness.example/2'])
  t.equal(newestCosigned(dir, signer.verifierKey, keys, 3), undefined)
  await grow(dir, 5, 20)
  while (newestCosigned(dir, signer.verifierKey, keys, 2)?.checkpoint.size !== 20n) await sleep(20)
  t.pass('and the next one')
})

t.test('with too few nothing is kept, and it is said who failed', async (t) => {
  const failing: Post = async () => ({ status: 404, body: '' })
  const { dir, reached } = await until(
    t,
    [honest(t, 0), failing, failing],
    2,
    ({ witnesses }) => witnesses.filter(({ error }) => error !== undefined).length === 2,
  )
  t.equal(reached.size, undefined)
  t.match(reached.witnesses, [{ error: undefined }, { error: /does not know this log/ }, {}])
  t.equal(newestCosigned(dir, signer.verifierKey, keys, 1), undefined)
})

t.test('a witness that failed is asked again, and its cosignature joins the others', async (t) => {
  let failures = 0
  const good = honest(t, 1)
  const flaky: Post = async (body) => (failures++ < 1 ? { status: 503, body: '' } : good(body))
  const { dir } = await until(
    t,
    [honest(t, 0), flaky],
    1,
    ({ witnesses }) => witnesses[1]!.error !== undefined,
  )
  while (newestCosigned(dir, signer.verifierKey, keys, 2) === undefined) await sleep(20)
  t.equal(newestCosigned(dir, signer.verifierKey, keys, 2)?.cosignatures.length, 2)
})
