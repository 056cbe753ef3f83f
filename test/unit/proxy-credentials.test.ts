/** No credential is left in what the recorder sees, and what isn't one stays readable. */
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { fingerprintWith } from '../../daemon/proxy/credentials/fingerprint.ts'
import { handsOutKeys } from '../../daemon/proxy/credentials/hands-out-keys.ts'
import { redactRequest, redactResponse, redactTrailers } from '../../daemon/proxy/credentials/redact.ts'
import { parseRequestHead, parseResponseHead, parseTrailers } from '../../daemon/proxy/http/head.ts'
import { cpuMsOf } from './cpu-time.ts'

const key = Buffer.alloc(32, 9)
const fingerprint = fingerprintWith(key)
const fp = (secret: string) => `fp_${createHmac('sha256', key).update(secret).digest('hex').slice(0, 32)}`

const request = (target: string, ...lines: string[]) =>
  redactRequest(
    parseRequestHead(
      Buffer.from(`GET ${target} HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`, 'latin1'),
    ),
    fingerprint,
  )
const header = (line: string) => request('/', line).head.toString('latin1').split('\r\n')[1]

t.test('replaces what authorises a request, keeps the scheme', async (t) => {
  t.equal(header('Authorization: Bearer sk-1'), `Authorization: Bearer ${fp('sk-1')}`)
  t.equal(header('authorization:Basic dTpw'), `authorization:Basic ${fp('dTpw')}`)
  for (const [given, key] of [
    ['u:sk-1', 'sk-1'],
    ['sk-2:', 'sk-2'],
  ] as const) {
    const line = `Authorization: Basic ${Buffer.from(given).toString('base64')}`
    t.strictSame(request('/', line).credentials[0], { where: 'header:authorization', fingerprint: fp(key) })
  }
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
  t.equal(header('x-api-key: Bearer sk-1'), `x-api-key: Bearer ${fp('sk-1')}`)
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

t.test('a key is found under every name that providers give it', async (t) => {
  for (const name of [
    'Ocp-Apim-Subscription-Key',
    'x-key',
    'x-gladia-key',
    'xi-api-key',
    'x-functions-key',
    'x-portkey-virtual-key',
    'x-portkey-config',
    'x-rapidapi-key',
    'cf-aig-authorization',
    'Helicone-Auth',
    'x-signature',
  ]) {
    t.equal(header(`${name}: k-1`), `${name}: ${fp('k-1')}`)
  }
  for (const name of [
    'subscription-key',
    'a[key]',
    'X-Goog-Signature',
    'jwt',
    'code',
    'client_secret',
    'Signature',
  ]) {
    t.match(request(`/?${name}=k-1&z=1`).head.toString(), `GET /?${name}=${fp('k-1')}&z=1 `)
  }
  for (const line of [
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Idempotency-Key: 1',
    'Signature-Input: a=()',
  ]) {
    t.equal(header(line), line)
  }
})

t.test('the access key of a presigned request has the fingerprint that it has in a header', async (t) => {
  const { head, credentials } = request(
    '/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDX%2F20250101%2Fus-east-1%2Fbedrock%2Faws4_request&X-Amz-Date=20250101T000000Z&X-Amz-Expires=60&X-Amz-Security-Token=t&X-Amz-Signature=s&X-Amz-SignedHeaders=host',
  )
  t.match(head.toString(), `X-Amz-Credential=${fp('AKIDX')}%2F20250101%2Fus-east-1%2Fbedrock%2Faws4_request&`)
  t.strictSame(
    credentials.map(({ where }) => where),
    ['query:x-amz-credential', 'query:x-amz-security-token', 'query:x-amz-signature'],
  )
})

t.test('a key is found wherever it stands, by its form or in a URL', async (t) => {
  const key = `sk-proj-${'aB3x'.repeat(10)}`
  t.match(request(`/v1/${key}/chat?x=${key}&y`).head.toString(), `GET /v1/${fp(key)}/chat?x=${fp(key)}&y `)
  t.strictSame(request(`/v1/${key}/chat`).credentials, [{ where: 'target', fingerprint: fp(key) }])
  t.equal(header(`X-Odd: {"k":"${key}"}`), `X-Odd: {"k":"${fp(key)}"}`)
  t.equal(
    header('X-Goog-Upload-Url: https://g/upload?key=k1&upload_id=7'),
    `X-Goog-Upload-Url: https://g/upload?key=${fp('k1')}&upload_id=7`,
  )
  t.equal(header('Location: https://x/cb#access_token=t'), `Location: https://x/cb#access_token=${fp('t')}`)
  t.equal(header('Referer: https://u:p@x/y'), `Referer: https://${fp('u')}:${fp('p')}@x/y`)
  t.equal(header('X-Odd: a; token=t'), `X-Odd: a; token=${fp('t')}`)
  t.equal(header('Content-Type: text/plain; charset=utf-8'), 'Content-Type: text/plain; charset=utf-8')
  t.match(
    request('/?to=https%3A%2F%2Fx%2F%3Fkey%3Dk1').head.toString(),
    `?to=${encodeURIComponent(`https://x/?key=${fp('k1')}`)} `,
  )
  t.match(
    request('/a;token=t/b?c=d?key=k1').head.toString(),
    `GET /a;token=${fp('t/b')}?c=d?key=${fp('k1')} `,
  )
  t.equal(
    header(
      `Sec-WebSocket-Protocol: realtime, xai-client-secret.k1, ${'a1'.repeat(20)}, graphql-transport-ws`,
    ),
    `Sec-WebSocket-Protocol: realtime, xai-client-secret.${fp('k1')}, ${fp('a1'.repeat(20))}, graphql-transport-ws`,
  )
})

t.test('a key that stands behind a browser’s cookies is listed all the same', async (t) => {
  const cookies = Array.from({ length: 40 }, (_, i) => `c${i}=v${i}`).join('; ')
  const { credentials } = request('/', `Cookie: ${cookies}`, 'Authorization: Bearer k')
  t.strictSame(credentials[0], { where: 'header:authorization', fingerprint: fp('k') })
  t.equal(credentials.length, 16)
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
    (s: string) => [`/?a=b?sig=${s}`, 'X: y'],
    (s: string) => ['/', `X-Gladia-Key: ${s}`],
    (s: string) => ['/', `Location: https://a:${s}@b/#id_token=${s}`],
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

t.test('calls that exchange tokens or make keys are told by their paths', async (t) => {
  for (const path of [
    '/api/oauth/claude_cli/create_api_key',
    '/v1/oauth/token',
    '/oauth/token?x=1',
    '/auth/poll?uuid=1',
    '/api/auth/session',
    '/api/v1/auth/keys',
    '/v1/auth/grant',
    '/v1/realtime/client_secrets',
    '/openai/v1/realtime/sessions',
    '/v1alpha/auth_tokens',
    '/v1/single-use-token/realtime_scribe',
    '/sts/v1.0/issueToken',
    '/v1/organization/admin_api_keys',
    '/v1/organization/projects/p/service_accounts',
    '/exa.seat_management_pb.SeatManagementService/RegisterUser',
  ]) {
    t.ok(handsOutKeys('POST', path), path)
  }
  for (const path of [
    '/v1/messages/count_tokens',
    '/v1beta/models/m:countTokens',
    '/v1/responses/input_tokens',
    '/v1/realtime',
    '/openai/deployments/auth/chat/completions',
    '/oauth/v1/messages',
    '/oauth/../api/organizations/o/completion',
    '/oauth/%2e%2e/api/organizations/o/completion',
    '/oauth//x',
    '/v1/authors',
    '/%zz/oauth/token',
    // Owners and names of models can be chosen.
    '/hf-inference/models/somebody/token',
    '/v1/models/keys/login/predictions',
    '/client/v4/accounts/a/ai/run/@cf/oauth/token',
  ]) {
    t.notOk(handsOutKeys('POST', path), path)
  }
})

t.test('takes no time over hostile names and values', async (t) => {
  const spent = cpuMsOf(() => {
    for (const filler of [' ', ', ', '; ', 'max', '=', 'token_', 'a/', '?a', '%253D', '://', '@', 'eyJ.']) {
      request(
        `/?x=${filler.trim().repeat(6000)}`,
        `X-Odd: https://${filler.repeat(9000)}x`,
        `Authorization: AWS4-HMAC-SHA256 ${filler.repeat(9000)}x`,
        `Cookie: ${filler.repeat(9000)}x`,
        `Sec-WebSocket-Protocol: ${filler.repeat(9000)}x`,
      )
    }
    request('/', `${'max_'.repeat(8000)}token: x`)
  })
  t.ok(spent < 1000, `${spent} ms`)
})
