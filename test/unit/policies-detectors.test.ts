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

t.test('keys of providers and forges are found by their form, within other text', async (t) => {
  const keys: [kind: string, key: string][] = [
    ['openai-key', of('sk-proj-', 64)],
    ['openai-key', of('sk-svcacct-', 64)],
    ['openai-key', of('sk-', 48)],
    ['anthropic-key', of('sk-ant-api03-', 95)],
    ['anthropic-key', of('sk-ant-oat01-', 95)],
    ['openrouter-key', of('sk-or-v1-', 64, '0a9f')],
    ['google-key', of('AIza', 35)],
    ['xai-key', of('xai-', 80)],
    ['groq-key', of('gsk_', 52)],
    ['huggingface-token', of('hf_', 34)],
    ['github-token', of('ghp_', 36)],
    ['github-token', of('github_pat_', 82)],
    ['gitlab-token', of('glpat-', 20)],
    ['aws-access-key', of('AKIA', 16, 'Q7')],
    ['slack-token', of('xoxb-', 40)],
    ['stripe-key', of('sk_live_', 24)],
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
})

t.test('what only looks like a secret is left alone', async (t) => {
  for (const text of [
    `transaction ${of('0x', 64, '0a9f')}`,
    `digest ${of('', 40, 'Ab3/+xYz')}`,
    'sk-learn and sk-short-name, gsk_, AIza, hf_model, xai-grok',
    'eyJhbGciOiJIUzI1NiJ9.notajwt',
    '-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----',
    'a@b, @mention, user@localhost, x @ y.example',
    '4111 1111 1111 1112 and 1764115200000 and 0.4111111111111111',
    'DE89370400440532013001 and DE8937040044 and XX89370400440532013000',
  ]) {
    t.strictSame(found(text), [], text)
  }
})

t.test('addresses, cards and accounts are found whole, checked by their sums', async (t) => {
  t.strictSame(found('to Ann.Lee+x@mail.corp.example.'), ['Ann.Lee+x@mail.corp.example'])
  t.strictSame(found('card 4111 1111 1111 1111 12/29'), ['4111 1111 1111 1111'])
  t.strictSame(found('5555-5555-5555-4444, 378282246310005'), ['5555-5555-5555-4444', '378282246310005'])
  t.strictSame(found('DE89 3704 0044 0532 0130 00 AND GB82WEST12345698765432'), [
    'DE89 3704 0044 0532 0130 00',
    'GB82WEST12345698765432',
  ])
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
  t.match(patternProblem('(?=a)b'), /no RE2 pattern/)
  t.match(patternProblem('(a'), /no RE2 pattern/)
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
  ]) {
    const text = piece.repeat(Math.ceil(size / piece.length))
    const ms = cpuMsOf(() => detect([], ALL, text))
    t.ok(ms < 2000, `${piece.slice(0, 20)}: ${ms.toFixed(0)} ms for 1 MiB`)
  }
})
