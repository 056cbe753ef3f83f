/**
 * Keys and tokens, by the forms that their issuers give them. Own patterns rather than a linter's: these run in the
 * proxy too, and the ready-made ones lack the current keys of LLM providers (docs/decisions/019).
 *
 * Every pattern begins with letters that its own repetition can't be tried from again and again: a run is either
 * consumed by a match or ended by a bound. None begins within a word: in a megabyte of a picture in base64url each of
 * the short ones stands by chance, and what is replaced there breaks the picture.
 */
import type { Detector, Match } from './detector.ts'

const FORMS: readonly (readonly [kind: string, pattern: string])[] = [
  ['anthropic-key', 'sk-ant-[a-z0-9]{2,10}-[A-Za-z0-9_-]{20,512}'],
  ['openrouter-key', 'sk-or-v1-[0-9a-f]{64}'],
  ['openai-key', 'sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,512}|sk-[A-Za-z0-9]{32,128}'],
  [
    'google-key',
    'AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])|AQ\\.[A-Za-z0-9_-]{40,512}|GOCSPX-[A-Za-z0-9_-]{28}|ya29\\.[A-Za-z0-9_-]{20,512}',
  ],
  ['xai-key', 'xai-[A-Za-z0-9]{40,256}'],
  ['groq-key', 'gsk_[A-Za-z0-9]{40,128}'],
  ['huggingface-token', 'hf_[A-Za-z0-9]{30,128}'],
  ['replicate-token', 'r8_[A-Za-z0-9]{37,64}'],
  ['perplexity-key', 'pplx-[A-Za-z0-9]{40,128}'],
  ['cerebras-key', 'csk-[A-Za-z0-9]{40,128}'],
  ['together-key', 'tgp_v1_[A-Za-z0-9_-]{40,128}'],
  ['fireworks-key', 'fw_[A-Za-z0-9]{22,64}'],
  ['nvidia-key', 'nvapi-[A-Za-z0-9_-]{60,128}'],
  ['github-token', 'gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}'],
  [
    'gitlab-token',
    'gl(?:pat|oas|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|ffct)-[A-Za-z0-9_-]{20,300}(?:\\.[0-9a-z]{2}\\.[0-9a-z]{9})?',
  ],
  ['aws-access-key', '(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])'],
  // The beginning of each is base64 that says what it is: "BedrockAPIKey", "bedrock.amazonaws.com".
  [
    'bedrock-key',
    'ABSKQmVkcm9ja0FQSUtleS[A-Za-z0-9+/]{40,400}={0,2}|bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t[A-Za-z0-9+/]{20,4096}={0,2}',
  ],
  [
    'slack-token',
    'xox[abceoprs]-[A-Za-z0-9-]{10,255}|xapp-[0-9]-[A-Za-z0-9-]{10,255}|hooks\\.slack\\.com/services/[A-Za-z0-9/]{20,128}',
  ],
  ['stripe-key', '[sr]k_(?:live|test)_[A-Za-z0-9]{16,255}|whsec_[A-Za-z0-9]{32,255}'],
  ['docker-token', 'dckr_[po]at_[A-Za-z0-9_-]{24,64}'],
  ['npm-token', 'npm_[A-Za-z0-9]{36}'],
  ['pypi-token', 'pypi-AgE[A-Za-z0-9_-]{50,255}'],
  ['sendgrid-key', 'SG\\.[A-Za-z0-9_-]{22}\\.[A-Za-z0-9_-]{43}'],
  ['databricks-token', 'dapi[0-9a-f]{32}(?![0-9a-f])'],
  ['vault-token', 'hvs\\.[A-Za-z0-9_-]{24,255}'],
]
const ALL = new RegExp(FORMS.map(([, pattern]) => `(${pattern})`).join('|'), 'g')

/**
 * What may stand before one: no letter of a word, unless it is the end of an escape (`\n`, `\u003d`, `%3D`, a terminal's
 * colour), or one alone: the length before a string of protobuf, which is a byte like any other. Markdown's `__` may.
 */
const BEFORE =
  /(?:^|[^A-Za-z0-9_-])(?:[A-Za-z0-9]|[_-]{1,2})?$|(?:\\[bfnrt]|\\u[0-9a-f]{4}|%[0-9a-f]{2}|\[[0-9;]{1,8}m)$/i
const LONGEST_ESCAPE = 10

/**
 * What Microsoft's keys are told by stands within them: the mark of its keys for services (`JQQJ99`), and of the secrets
 * of applications (`8Q~`).
 */
const MARKED: readonly (readonly [kind: string, pattern: RegExp, before: number])[] = [
  [
    'azure-key',
    /(?<=[A-Za-z0-9]{52})JQQJ9[9DH][A-Za-z0-9][A-L][A-Za-z0-9]{16}[A-Za-z][A-Za-z0-9]{7}(?![A-Za-z0-9])/g,
    52,
  ],
  ['azure-secret', /(?<=[A-Za-z0-9_~.-]{3})[0-9]Q~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~.-])/g, 3],
]

/**
 * What looks like any other hex or base64, told by the word before it: the quotes, blanks and the line feed between
 * two JSON strings may stand between. The word is looked for, and not behind each letter.
 */
const AFTER_A_WORD: readonly (readonly [kind: string, pattern: RegExp])[] = [
  [
    'aws-secret-key',
    /(?:secret_?access_?key|aws_secret_key)["'\\\s:=]{1,8}([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])/gi,
  ],
  ['aws-session-token', /session_?token["'\\\s:=]{1,8}([A-Za-z0-9/+]{100,4096}={0,2})/gi],
  ['azure-key', /(?:AccountKey|SharedAccessKey)=([A-Za-z0-9/+]{40,90}={1,2})/g],
  // Mistral's, Cohere's and Azure's own have no form besides.
  ['api-key', /api[_-]?key["'\\\s:=]{1,8}([A-Za-z0-9]{32,128})(?![A-Za-z0-9/+_-])/gi],
  [
    'private-key',
    /(?:(?:private|secret|signer|wallet|deployer)[_ -]?key|mnemonic|\bpk)["'\\\s:=]{1,8}(0x[0-9a-fA-F]{64})(?![0-9a-fA-F])/gi,
  ],
]

const PEM = /-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----/g
const PEM_END = /-----END [A-Z0-9 ]{1,80}-----/g
/** An RSA key of 8192 bits has 6.4 kB. */
const LONGEST_PEM = 8192

/** From the payload's dot: a run of the header's letters before it has no dot, so none is read twice. */
const JWT = /\.eyJ[A-Za-z0-9_-]{10,8192}\.[A-Za-z0-9_-]{10,2048}/g
const JWT_LETTER = /[A-Za-z0-9_-]/
const LONGEST_JWT_HEADER = 1024
const SHORTEST_JWT_HEADER = 13

export const secrets: Detector = function* (text) {
  for (const match of text.matchAll(ALL)) {
    if (!beginsAt(text, match.index)) continue
    const form = match.findIndex((group, i) => i > 0 && group !== undefined)
    yield { ...spanOf(match), kind: FORMS[form - 1]![0] }
  }
  for (const [kind, pattern, before] of MARKED) {
    for (const match of text.matchAll(pattern)) {
      const start = match.index - before
      if (beginsAt(text, start)) yield { ...spanOf(match), start, kind }
    }
  }
  for (const [kind, pattern] of AFTER_A_WORD) {
    for (const match of text.matchAll(pattern)) {
      const { end } = spanOf(match)
      yield { start: end - (match[1] as string).length, end, kind }
    }
  }
  yield* pemKeys(text)
  for (const match of text.matchAll(JWT)) {
    const start = jwtHeader(text, match.index)
    if (match.index - start >= SHORTEST_JWT_HEADER) yield { ...spanOf(match), start, kind: 'jwt' }
  }
}

const beginsAt = (text: string, start: number): boolean =>
  BEFORE.test(text.slice(Math.max(0, start - LONGEST_ESCAPE), start))

/** Where the header before `dot` begins; `dot` itself where there is none. */
function jwtHeader(text: string, dot: number): number {
  let from = dot
  while (from > 0 && dot - from < LONGEST_JWT_HEADER && JWT_LETTER.test(text[from - 1] as string)) from--
  const found = text.slice(from, dot).indexOf('eyJ')
  return found === -1 ? dot : from + found
}

/** To its end, or as far as a key may go. */
function* pemKeys(text: string): Generator<Match> {
  let done = 0
  for (const match of text.matchAll(PEM)) {
    if (match.index < done) continue
    const limit = match.index + LONGEST_PEM
    PEM_END.lastIndex = match.index + match[0].length
    const last = PEM_END.exec(text.slice(0, limit))
    done = last ? last.index + last[0].length : Math.min(limit, text.length)
    yield { start: match.index, end: done, kind: 'private-key' }
  }
}

const spanOf = (match: RegExpExecArray) => ({ start: match.index, end: match.index + match[0].length })
