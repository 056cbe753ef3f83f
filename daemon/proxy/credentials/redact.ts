/**
 * Heads as the recorder may see them: every credential replaced by its keyed fingerprint. What is forwarded is
 * never touched; these functions make a second text from a parsed head.
 *
 * Threat model: the store must hold no key that a reader of it could use. A field that merely looks like a
 * secret counts as one; an unknown authorisation scheme counts as part of the secret.
 */
import type { Credential } from '../../recorder/protocol.ts'
import type { Field, RequestHead } from '../http/head.ts'
import type { Fingerprint } from './fingerprint.ts'
import { withoutKnownKeys } from './known-keys.ts'
import { looksSecret } from './secret-names.ts'
import { redactUrl, USERINFO } from './url.ts'

/** The record is a leaf of at most 4 KiB: of one request, no more credentials than this are listed in it. */
const MAX_LISTED = 16
/** Of one head, no more secrets than this are hashed: a head full of cookies costs the worker no more. */
const MAX_HASHED = 256
const NOT_HASHED = 'fp_omitted'
/** Longest name listed; names are the sender's. */
const MAX_WHERE = 64

export interface Redacted {
  /** The head with its empty line. */
  readonly head: Buffer
  /** Each (place, fingerprint) once. */
  readonly credentials: readonly Credential[]
}

/** Of HTTP/2 there is no start line: its parts are fields, whose names begin with a colon. */
export interface AnyHead {
  readonly startLine?: string
  readonly fields: readonly Field[]
}

export type AnyRequestHead = RequestHead | (AnyHead & { readonly startLine?: never })

/** Says the fingerprint of a secret and notes where it stood. */
type Replace = (where: string, secret: string) => string

export function redactRequest(head: AnyRequestHead, fingerprint: Fingerprint): Redacted {
  const credentials: Credential[] = []
  const hash = bounded(fingerprint)
  const replace: Replace = (where, secret) => {
    const found = hash(secret)
    const place = where.slice(0, MAX_WHERE)
    const known = credentials.some((one) => one.where === place && one.fingerprint === found)
    if (!known) credentials.push({ where: place, fingerprint: found })
    return found
  }
  const startLine = head.startLine === undefined ? undefined : redactStartLine(head, replace)
  return { head: rebuild(startLine, head.fields, replace), credentials: listed(credentials) }
}

/** Cookies last: a browser sends dozens, and they tell less than the key behind them. */
function listed(credentials: readonly Credential[]): Credential[] {
  const isCookie = ({ where }: Credential) => where === 'header:cookie'
  return [...credentials.filter((one) => !isCookie(one)), ...credentials.filter(isCookie)].slice(
    0,
    MAX_LISTED,
  )
}

function redactStartLine(head: RequestHead, replace: Replace): string {
  const target = redactTarget(head.target, replace)
  return target === head.target ? head.startLine : `${head.method} ${target} HTTP/${head.version}`
}

function redactTarget(target: string, replace: Replace): string {
  const redacted = redactUrl(target, (name, secret) =>
    replace(name === USERINFO ? name : `query:${name}`, secret),
  )
  return withoutKnownKeys(redacted, (secret) => replace('target', secret))
}

export function redactResponse(head: AnyHead, fingerprint: Fingerprint): Buffer {
  const hash = bounded(fingerprint)
  return rebuild(head.startLine, head.fields, (_where, secret) => hash(secret))
}

/** A trailer section: lines with CRLF. */
export function redactTrailers(fields: readonly Field[], fingerprint: Fingerprint): string {
  const hash = bounded(fingerprint)
  return fields.map((field) => `${redactLine(field, (_where, secret) => hash(secret))}\r\n`).join('')
}

function bounded(fingerprint: Fingerprint): Fingerprint {
  let left = MAX_HASHED
  return (secret) => (left-- > 0 ? fingerprint(secret) : NOT_HASHED)
}

function rebuild(startLine: string | undefined, fields: readonly Field[], replace: Replace): Buffer {
  let text = startLine === undefined ? '' : `${startLine}\r\n`
  for (const field of fields) text += `${redactLine(field, replace)}\r\n`
  return Buffer.from(`${text}\r\n`, 'latin1')
}

function redactLine(field: Field, replace: Replace): string {
  if (field.value === '') return field.line
  const redact = VALUES[field.name] ?? (looksSecret(field.name) ? authorization : otherwise)
  const value =
    field.name === ':path'
      ? redactTarget(field.value, replace)
      : redact(field.value, (secret) => replace(`header:${field.name}`, secret))
  const end = field.valueAt + field.value.length
  return field.line.slice(0, field.valueAt) + value + field.line.slice(end)
}

type ReplaceSecret = (secret: string) => string

const whole = (value: string, replace: ReplaceSecret) => replace(value)

const SCHEME =
  /^(basic|bearer|token|digest|negotiate|ntlm|apikey|api-key|key|bot|dpop|hawk|oauth|hoba|mac|googlelogin|sharedkey|aws4-hmac-sha256|aws4-ecdsa-p256-sha256)[ \t]+(?=\S)/i

/** Keeps a known scheme word; of SigV4 also the scope and the names of the signed headers, which are no secrets. */
function authorization(value: string, replace: ReplaceSecret): string {
  const scheme = SCHEME.exec(value)?.[0] ?? ''
  const rest = value.slice(scheme.length)
  if (!/^aws4-/i.test(scheme)) return scheme + replace(rest)
  const parts = rest.split(/(, *)/).map((part) => {
    const [, name, secret, scope] = /^(\w+)=([^/,]*)(.*)$/.exec(part) ?? []
    if (name === undefined) return part === '' || /^, *$/.test(part) ? part : replace(part)
    if (/^signedheaders$/i.test(name)) return part
    return /^credential$/i.test(name)
      ? `${name}=${replace(secret ?? '')}${scope}`
      : `${name}=${replace(`${secret}${scope}`)}`
  })
  return scheme + parts.join('')
}

/** `a=1; b=2`: names stay, values go. */
function cookie(value: string, replace: ReplaceSecret): string {
  return value
    .split(/(; *)/)
    .map((pair) => (/^; *$/.test(pair) || pair === '' ? pair : replacePair(pair, replace)))
    .join('')
}

/** `a=1; Path=/; Secure`: the first pair's value goes, attributes stay. */
function setCookie(value: string, replace: ReplaceSecret): string {
  const end = value.indexOf(';')
  return end < 0 ? replacePair(value, replace) : replacePair(value.slice(0, end), replace) + value.slice(end)
}

function replacePair(pair: string, replace: ReplaceSecret): string {
  const equals = pair.indexOf('=')
  return equals < 0 ? replace(pair) : pair.slice(0, equals + 1) + replace(pair.slice(equals + 1))
}

/**
 * Realtime APIs take a browser's key as a subprotocol: OpenAI and xAI behind a name and a dot, Deepgram as the one after
 * `token`. A server may choose the key itself as the protocol: then it is only long.
 */
function subprotocols(value: string, replace: ReplaceSecret): string {
  let secretNext = false
  return value
    .split(/(, *)/)
    .map((item) => {
      if (/^(, *)?$/.test(item)) return item
      if (secretNext) {
        secretNext = false
        return replace(item)
      }
      secretNext = /^(token|bearer)$/i.test(item)
      const dot = item.indexOf('.')
      const name = item.slice(0, Math.max(0, dot)).toLowerCase()
      if (dot > 0 && (looksSecret(name) || name.startsWith('openai-ephemeral-'))) {
        return item.slice(0, dot + 1) + replace(item.slice(dot + 1))
      }
      return LONG_PROTOCOL.test(item) ? replace(item) : otherwise(item, replace)
    })
    .join('')
}

/** No protocol's name is that long, with digits in it; keys are. */
const LONG_PROTOCOL = /^(?=.*[0-9])[A-Za-z0-9_+/=~-]{32,}$/

/** A field of any name: `X-Goog-Upload-Url` repeats the key in the query, and a key is one wherever it stands. */
function otherwise(value: string, replace: ReplaceSecret): string {
  const url = /[?;#]|:\/\//.test(value) ? redactUrl(value, (_name, secret) => replace(secret)) : value
  return withoutKnownKeys(url, replace)
}

type RedactValue = (value: string, replace: ReplaceSecret) => string

/** Without a prototype: a field may be called `constructor`. */
const VALUES: Readonly<Record<string, RedactValue | undefined>> = Object.assign(Object.create(null), {
  authorization,
  'proxy-authorization': authorization,
  'x-api-key': whole,
  'api-key': whole,
  'x-goog-api-key': whole,
  'x-amz-security-token': whole,
  cookie,
  'set-cookie': setCookie,
  // JSON with the keys of those behind the gateway in it.
  'x-portkey-config': whole,
  'sec-websocket-protocol': subprotocols,
} satisfies Record<string, RedactValue>)
