/** No credential is left in what the recorder sees, and what isn't one stays readable. */
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { fingerprintWith } from '../../daemon/proxy/credentials/fingerprint.ts'
import { redactRequest, redactResponse, redactTrailers } from '../../daemon/proxy/credentials/redact.ts'
import { parseRequestHead, parseResponseHead, parseTrailers } from '../../daemon/proxy/http/head.ts'
import { cpuMsOf } from './cpu-time.ts'

const key = Buffer.alloc(32, 9)
const fingerprint = fingerprintWith(key)
const fp = (secret: string) => `fp_${createHmac('sha256', key).update(secret).digest('hex').slice(0, 32)}`

const request = (target: string, ...lines: string[]) =>
  redactRequest(
    parseRequestHead(Buffer.from(`GET ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1')),
    fingerprint,
  )
const header = (line: string) => request('/', line).head.toString('latin1').split('\r\n')[1]

t.test('replaces what authorises a request, keeps the scheme', async (t) => {
  t.equal(header('Authorization: Bearer sk-1'), `Authorization: Bearer ${fp('sk-1')}`)
  t.equal(header('authorization:Basic dTpw'), `authorization:Basic ${fp('dTpw')}`)
  t.equal(header('Authorization: Token abc'), `Authorization: Token ${fp('abc')}`)
  t.equal(header('Authorization: bare-key'), `Authorization: ${fp('bare-key')}`)
  t.equal(header('Authorization: Odd secret'), `Authorization: ${fp('Odd secret')}`)
  t.equal(header('Proxy-Authorization: Basic x'), `Proxy-Authorization: Basic ${fp('x')}`)
  for (const name of [
    'X-API-Key',
    'api-key',
    'x-goog-api-key',
    'X-Amz-Security-Token',
    'x-my-secret',
    'Ocp-Apim-Subscription-ApiKey',
    'x-auth',
    'db-password',
    'x-credential-id',
  ]) {
    t.equal(header(`${name}: sk-1`), `${name}: ${fp('sk-1')}`)
  }
  t.equal(fp('sk-1'), fingerprint('sk-1'), 'one key has one fingerprint wherever it stands')
})

t.test('replaces the access key and the signature of SigV4, keeps scope and signed headers', async (t) => {
  t.equal(
    header(
      'Authorization: AWS4-HMAC-SHA256 Credential=AKIDX/20250101/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=abcdef',
    ),
    `Authorization: AWS4-HMAC-SHA256 Credential=${fp('AKIDX')}/20250101/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=${fp('abcdef')}`,
  )
})

t.test('replaces cookies, subprotocol keys and keys in queries', async (t) => {
  t.equal(header('Cookie: a=1; b=x=y; c'), `Cookie: a=${fp('1')}; b=${fp('x=y')}; ${fp('c')}`)
  t.equal(
    header('Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-2, openai-beta.realtime-v1'),
    `Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.${fp('sk-2')}, openai-beta.realtime-v1`,
  )
  t.equal(
    header('Sec-WebSocket-Protocol: token, deep-key'),
    `Sec-WebSocket-Protocol: token, ${fp('deep-key')}`,
  )
  t.equal(header('Referer: https://x/y?key=k&z=1'), `Referer: https://x/y?key=${fp('k')}&z=1`)
  const line = (target: string) =>
    request(target, 'X: y').head.toString('latin1').split('\r\n')[0]?.split(' ')[1]
  t.equal(
    line('/v1beta/models/m:generateContent?alt=sse&key=AIza&x=y'),
    `/v1beta/models/m:generateContent?alt=sse&key=${fp('AIza')}&x=y`,
  )
  t.equal(
    line('/?%6bey=a%20b&Access_Token=t&api-key=c'),
    `/?%6bey=${fp('a b')}&Access_Token=${fp('t')}&api-key=${fp('c')}`,
  )
  t.equal(
    line('/?X-Amz-Signature=s&X-Amz-Credential=c&sig=1;token=2'),
    `/?X-Amz-Signature=${fp('s')}&X-Amz-Credential=${fp('c')}&sig=${fp('1')};token=${fp('2')}`,
  )
  t.equal(line('/?key='), '/?key=')
  t.equal(line('/?key=%zz'), `/?key=${fp('%zz')}`)
})

t.test('leaves alone what tells requests apart and is no secret', async (t) => {
  for (const line of [
    'openai-organization: org-1',
    'Content-Type: application/json',
    'anthropic-version: 2023-06-01',
    'X-Stainless-Lang: js',
    'Host: api.openai.com',
    'Authorization:',
    'X-RateLimit-Remaining-Tokens: 5',
  ]) {
    t.equal(header(line), line)
  }
  const response = (line: string) =>
    redactResponse(
      parseResponseHead(Buffer.from(`HTTP/1.1 200 OK\r\n${line}\r\n\r\n`, 'latin1')),
      fingerprint,
    )
      .toString('latin1')
      .split('\r\n')[1]
  t.equal(response('x-ratelimit-limit-tokens: 10'), 'x-ratelimit-limit-tokens: 10')
  t.equal(
    response('anthropic-ratelimit-input-tokens-remaining: 10'),
    'anthropic-ratelimit-input-tokens-remaining: 10',
  )
  t.equal(response('WWW-Authenticate: Bearer realm="x"'), 'WWW-Authenticate: Bearer realm="x"')
  t.equal(response('Set-Cookie: __cf=abc; Path=/; Secure'), `Set-Cookie: __cf=${fp('abc')}; Path=/; Secure`)
  t.equal(response('Location: https://x/?token=1'), `Location: https://x/?token=${fp('1')}`)
  t.equal(
    redactTrailers(parseTrailers('X-Sum: 1\r\nX-Token: t\r\n'), fingerprint),
    `X-Sum: 1\r\nX-Token: ${fp('t')}\r\n`,
  )
})

t.test('lists each credential once, with its place, and not without bound', async (t) => {
  const { credentials } = request(
    '/?key=a',
    'Authorization: Bearer k',
    'authorization: Bearer k',
    'Cookie: s=1; s=1; t=2',
  )
  t.same(credentials, [
    { where: 'query:key', fingerprint: fp('a') },
    { where: 'header:authorization', fingerprint: fp('k') },
    { where: 'header:cookie', fingerprint: fp('1') },
    { where: 'header:cookie', fingerprint: fp('2') },
  ])
  const many = request('/', `Cookie: ${Array.from({ length: 500 }, (_, i) => `c${i}=v${i}`).join('; ')}`)
  t.equal(many.credentials.length, 16)
  t.match(many.head.toString(), /; c499=fp_omitted/)
  t.notMatch(many.head.toString(), /=v\d/)
})

t.test('no secret survives in any place that carries one', async () => {
  const places = [
    (s: string) => ['/', `Authorization: Bearer ${s}`],
    (s: string) => ['/', `Authorization: ${s}`],
    (s: string) => ['/', `X-Api-Key: ${s}`],
    (s: string) => ['/', `Cookie: a=${s}; b=2`],
    (s: string) => ['/', `Sec-WebSocket-Protocol: openai-insecure-api-key.${s}`],
    (s: string) => [`/?key=${s}`, 'X: y'],
    (s: string) => [`/?a=1&access_token=${s}`, 'X: y'],
  ]
  fc.assert(
    fc.property(
      fc.stringMatching(/^[A-Za-z0-9_.~-]{12,60}$/),
      fc.constantFrom(...places),
      (secret, place) => {
        const [target, line] = place(secret) as [string, string]
        return !request(target, line).head.includes(secret)
      },
    ),
    { numRuns: 1000 },
  )
})

t.test('takes no time over hostile names and values', async (t) => {
  const spent = cpuMsOf(() => {
    for (const filler of [' ', ', ', '; ', 'max', '=', 'token_', 'a/']) {
      request(
        '/',
        `Authorization: AWS4-HMAC-SHA256 ${filler.repeat(9000)}x`,
        `Cookie: ${filler.repeat(9000)}x`,
        `Sec-WebSocket-Protocol: ${filler.repeat(9000)}x`,
      )
    }
    request('/', `${'max_'.repeat(8000)}token: x`)
  })
  t.ok(spent < 1000, `${spent} ms`)
})
