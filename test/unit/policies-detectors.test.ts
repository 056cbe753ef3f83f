import { createCipheriv } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { detect } from '../../policies/detectors/detect.ts'
import { patternProblem } from '../../policies/detectors/own-pattern.ts'
import { cpuMsOf } from './cpu-time.ts'

const ALL = ['secrets', 'email', 'card', 'iban']
const kinds = (text: string, names = ALL) => detect([], names, text).map(({ kind }) => kind)
const found = (text: string, names = ALL) =>
  detect([], names, text).map(({ start, end }) => text.slice(start, end))

/** Put together here, so that nothing in this file is a key to a scanner. */
const of = (prefix: string, length: number, letters = 'aB3xY9kQ') =>
  prefix + letters.repeat(Math.ceil(length / letters.length)).slice(0, length)

/** The same on each run. */
function noise(size: number): Buffer {
  const bytes = Buffer.alloc(size)
  createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(bytes).copy(bytes)
  return bytes
}

t.test('keys of providers and forges are found by their form, within other text', async (t) => {
  const keys: [kind: string, key: string][] = [
    ['openai-key', of('sk-proj-', 64)],
    ['openai-key', of('sk-svcacct-', 64)],
    ['openai-key', of('sk-', 48)],
    ['anthropic-key', of('sk-ant-api03-', 95)],
    ['anthropic-key', of('sk-ant-oat01-', 95)],
    ['openrouter-key', of('sk-or-v1-', 64, '0a9f')],
    ['google-key', of('AIza', 35)],
    ['google-key', of('AQ.Ab8', 48)],
    ['xai-key', of('xai-', 80)],
    ['groq-key', of('gsk_', 52)],
    ['huggingface-token', of('hf_', 34)],
    ['github-token', of('ghp_', 36)],
    ['github-token', of('github_pat_', 82)],
    ['gitlab-token', of('glpat-', 20)],
    ['gitlab-token', `${of('glpat-', 27)}.01.${of('', 9, '0a9f')}`],
    ['gitlab-token', of('glrt-', 20)],
    ['aws-access-key', of('AKIA', 16, 'Q7')],
    ['bedrock-key', of('ABSKQmVkcm9ja0FQSUtleS', 110)],
    ['bedrock-key', of('bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t', 300)],
    ['azure-key', `${of('', 52)}JQQJ99BA${of('C', 15)}A${of('', 7)}`],
    ['azure-secret', `abc8Q~${of('', 34)}`],
    ['slack-token', of('xoxb-', 40)],
    ['slack-token', of('xapp-1-', 60)],
    ['stripe-key', of('sk_live_', 24)],
    ['stripe-key', of('rk_live_', 24)],
    ['stripe-key', of('whsec_', 32)],
    ['replicate-token', of('r8_', 37)],
    ['perplexity-key', of('pplx-', 48)],
    ['cerebras-key', of('csk-', 48)],
    ['together-key', of('tgp_v1_', 43)],
    ['fireworks-key', of('fw_', 24)],
    ['nvidia-key', of('nvapi-', 64)],
    ['docker-token', of('dckr_pat_', 27)],
    ['databricks-token', of('dapi', 32, '0a9f')],
    ['vault-token', of('hvs.', 24)],
    ['pypi-token', of('pypi-AgEIcHlwaS5vcmc', 70)],
    ['npm-token', of('npm_', 36)],
    ['jwt', `${of('eyJ', 30)}.${of('eyJ', 60)}.${of('', 43)}`],
    ['private-key', `-----BEGIN RSA PRIVATE KEY-----\n${of('', 400)}\n-----END RSA PRIVATE KEY-----`],
  ]
  for (const [kind, key] of keys) {
    for (const text of [key, `use ${key}, please`, `{"k":"${key}"}`, `a=1\\n${key}\\nb`]) {
      t.strictSame(kinds(text), [kind], text.slice(0, 60))
      t.strictSame(found(text), [key])
    }
  }
  const hex = of('0x', 64, '0a9f')
  for (const text of [`privateKey: ${hex}`, `PRIVATE_KEY="${hex}"`, `privateKey\n${hex}`]) {
    t.strictSame(found(text), [hex], text)
  }
  const secret = of('', 40, 'Ab3/+xYz')
  t.strictSame(kinds(`aws_secret_access_key = ${secret}`), ['aws-secret-key'])
  t.strictSame(kinds(`{"SessionToken": "${of('', 300)}=="}`), ['aws-session-token'])
  t.strictSame(kinds(`AccountName=a;AccountKey=${of('', 86)}==;`), ['azure-key'])
  for (const word of ['MISTRAL_API_KEY=', '"apiKey": "', 'api-key: ', 'CO_API_KEY="'])
    t.strictSame(found(`${word}${of('', 32)}`), [of('', 32)], word)
  for (const before of ['key%3D', '\\u003d', 'url?key=', 'Bearer ', '\n', '\\n', '__', '\u001b[01;31m'])
    t.strictSame(found(`${before}${of('sk-proj-', 64)}`), [of('sk-proj-', 64)], before)
})

t.test('what only looks like a secret is left alone', async (t) => {
  for (const text of [
    `transaction ${of('0x', 64, '0a9f')}`,
    `digest ${of('', 40, 'Ab3/+xYz')}`,
    `task-${of('', 32, '0a9f')} and disk-${of('', 40)}`,
    'sk-learn and sk-short-name, gsk_, AIza, hf_model, xai-grok',
    'eyJhbGciOiJIUzI1NiJ9.notajwt',
    '-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----',
    'a@b, @mention, user@localhost, x @ y.example',
    '4111 1111 1111 1112 and 1764115200000 and 0.4111111111111111',
    'DE89370400440532013001 and DE8937040044 and XX89370400440532013000',
    `apiKey: your-api-key-here, api_key: ${of('', 31)}`,
    'icon@2x.png, git@github.com:owner/repository, @types/node@24.0.0',
    'cdf504363250695627b0a, 4111111111111111ff, 52 34 51 37 40 12 35 41 44 51, 9111 1111 1111 1111',
  ]) {
    t.strictSame(found(text), [], text)
  }
})

t.test('pictures, hashes and identifiers hold nothing, whatever stands in them by chance', async (t) => {
  for (const encoding of ['base64', 'base64url'] as const) {
    const picture = noise(2 << 20).toString(encoding)
    t.strictSame(found(picture), [], encoding)
    for (const key of [of('sk-', 40), of('hf_', 34), of('AIza', 35)])
      t.strictSame(found(`${picture.slice(0, 99)}x${key}x${picture.slice(0, 99)}`), [], key)
  }
  const hashes =
    noise(1 << 20)
      .toString('hex')
      .match(/.{40}/g) ?? []
  t.strictSame(found(hashes.join('\n')), [])
  const uuids = hashes.map((hash) => hash.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, '$1-$2-$3-$4-$5'))
  t.strictSame(found(uuids.join(' ')), [])
})

t.test('addresses, cards and accounts are found whole, checked by their sums', async (t) => {
  t.strictSame(found('to Ann.Lee+x@mail.corp.example.'), ['Ann.Lee+x@mail.corp.example'])
  t.strictSame(found('an jürgen.groß@bücher.example'), ['jürgen.groß@bücher.example'])
  t.strictSame(found('card 4111 1111 1111 1111 12/29'), ['4111 1111 1111 1111'])
  for (const card of [
    ...['3782 822463 10005', '3056 930902 5904', '6011111111111117', '4111 1111 1111 1111'],
    ...['4222222222222', '2223-0031-2200-3222', '6205500000000000004', '6205 5000 0000 0000 004'],
  ])
    t.strictSame(found(`card:${card}, 4111 1111 1111 1111 123`), [card, '4111 1111 1111 1111'], card)
  t.strictSame(found('5555-5555-5555-4444, 378282246310005'), ['5555-5555-5555-4444', '378282246310005'])
  t.strictSame(found('DE89 3704 0044 0532 0130 00 AND GB82WEST12345698765432'), [
    'DE89 3704 0044 0532 0130 00',
    'GB82WEST12345698765432',
  ])
  for (const iban of ['BI1320001100010000123456789', 'LY38021001000000123456789', 'MN580050099123456789'])
    t.strictSame(found(`to ${iban}.`), [iban])
})

t.test('a number with one digit changed checks no more', async (_t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 1, max: 9 }), (at, by) => {
      const digits = [...'4111111111111111']
      digits[at] = String((Number(digits[at]) + by) % 10)
      return kinds(` ${digits.join('')} `, ['card']).length === 0
    }),
  )
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 21 }), fc.integer({ min: 1, max: 9 }), (at, by) => {
      const text = [...'DE89370400440532013000']
      text[at] = String((Number(text[at]) + by) % 10)
      return kinds(text.join(''), ['iban']).length === 0
    }),
  )
})

t.test('own patterns are RE2: linear whatever the text, and what RE2 lacks is refused', async (t) => {
  const own = [
    { name: 'ticket', pattern: 'TICKET-[0-9]{6}' },
    { name: 'evil', pattern: '(x+x+)+y' },
  ]
  t.match(detect(own, ['ticket'], 'see TICKET-123456'), [{ start: 4, end: 17, kind: 'ticket' }])
  const before = performance.now()
  t.strictSame(detect(own, ['evil'], 'x'.repeat(20_000)), [])
  t.ok(performance.now() - before < 5000, 'a backtracking engine needs the age of the universe')
  const ahead = [{ name: 'ahead', pattern: 'x[^z]*y|x' }]
  const last = detect(ahead, ['ahead'], 'x'.repeat(500_000)).at(-1)
  t.equal(last?.end, 500_000, 'what looks ahead from each match takes the rest for one, in the end')
  t.match(patternProblem('(?=a)b'), /no RE2 pattern/)
  t.match(patternProblem('(a'), /no RE2 pattern/)
  for (const pattern of ['(a?){300}a{300}', '[a-z ]{500}[0-9]', '\\pL{1000}', '(?:x{1,30}){1,30}y'])
    t.match(patternProblem(pattern), /counts too far/, pattern)
  t.equal(patternProblem('(?:acme|contoso)-[A-Z]{2,8}-[0-9]{6,12}|[A-Za-z0-9]{20,}!{64}'), undefined)
  t.match(patternProblem('a*'), /matches empty text/)
  t.equal(patternProblem('a+'), undefined)
})

t.test('matches are in order and do not overlap, whatever the text', async (_t) => {
  const piece = fc.oneof(
    fc.constantFrom('sk-proj-', 'eyJ', '.eyJ', '@', 'a.example', '4111 1111 1111 1111', '-----BEGIN '),
    fc.constantFrom('PRIVATE KEY-----', 'DE89370400440532013000', ' ', '\n', of('', 30), 'privateKey: 0x'),
    fc.string({ unit: 'binary', maxLength: 20 }),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const text = pieces.join('')
      let end = 0
      for (const match of detect([], ALL, text)) {
        if (match.start < end || match.end <= match.start || match.end > text.length) return false
        end = match.end
      }
      return true
    }),
    { numRuns: 2000 },
  )
})

t.test('no text takes more than time linear in it', async (t) => {
  const size = 1 << 20
  for (const piece of [
    ...[
      'eyJ',
      '.eyJaaaaaaaaaa',
      '@',
      'a@',
      'a',
      '4',
      '4 ',
      '-----BEGIN PRIVATE KEY-----',
      'sk-proj-',
      'DE89 ',
      'DE89',
    ],
    ...[
      'AKIA',
      'xoxb-',
      'privatekey:0x',
      'secretaccesskey:',
      `${'eyJ'.repeat(300)}!.eyJaaaaaaaaaa.aaaaaaaaaa`,
      'A1',
    ],
    ...['hooks.slack.com/services/', 'a.', `a@${'b.'.repeat(9)}`, 'github_pat_'],
    ...['JQQJ99', '1Q~', 'api_key:', 'AccountKey=', '4111 1111 ', `xsk-${of('', 40)}`, 'ü@'],
  ]) {
    const text = piece.repeat(Math.ceil(size / piece.length))
    const ms = cpuMsOf(() => detect([], ALL, text))
    t.ok(ms < 2000, `${piece.slice(0, 20)}: ${ms.toFixed(0)} ms for 1 MiB`)
  }
})
