/** What is somebody's: e-mail addresses, card numbers (Luhn), bank accounts (IBAN, ISO 13616, with its checksum). */
import type { Detector } from './detector.ts'

const LOCAL_PART = /[\p{L}\p{N}._%+-]{1,64}$/u
/** `icon@2x.png` is a file. */
const DOMAIN = /(?![1-9]x\.)[\p{L}\p{N}-]{1,63}(?:\.[\p{L}\p{N}-]{1,63}){0,8}\.\p{L}{2,24}(?![\p{L}\p{N}-])/uy
/** `git@github.com:owner/repository` is nobody's address. */
const NOBODY = 'git'

/** From each `@` outwards: read from the left, a long word would be read again from each of its letters. */
export const email: Detector = function* (text) {
  for (let at = text.indexOf('@'); at !== -1; at = text.indexOf('@', at + 1)) {
    const local = LOCAL_PART.exec(text.slice(Math.max(0, at - 64), at))?.[0]
    if (local === undefined || local === NOBODY) continue
    DOMAIN.lastIndex = at + 1
    if (DOMAIN.test(text)) yield { start: at - local.length, end: DOMAIN.lastIndex, kind: 'email' }
  }
}

/**
 * As they are written: undivided, or in the groups that are printed on cards, the last of which may be an expiry date's or
 * a check code. Not within a word: in a hundred hashes there is one run of digits that checks.
 */
const CARD =
  /(?<=^|[^0-9A-Za-z.]|\\[nrt])(?:[2-6][0-9]{12,18}|[2-6][0-9]{3}([ \u00a0-])(?:[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?|[0-9]{6}\1[0-9]{4,5})|[2-6][0-9]{5}[ \u00a0-][0-9]{13})(?![0-9A-Za-z])/g
/** First digits of the networks in use, and how long their numbers are (ISO/IEC 7812). */
const NETWORKS: readonly (readonly [first: RegExp, lengths: readonly number[]])[] = [
  [/^4/, [13, 16, 19]],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, [16]],
  [/^3[47]/, [15]],
  [/^3(?:0[0-59]|[689])/, [14, 16, 17, 18, 19]],
  [/^(?:35|6)/, [16, 17, 18, 19]],
  // Maestro
  [/^(?:50|5[6-9]|6)/, [13, 14, 15, 16, 17, 18, 19]],
]

export const card: Detector = function* (text) {
  for (const { 0: found, 1: separator, index } of text.matchAll(CARD)) {
    const length = [found.length, separator === undefined ? 0 : found.lastIndexOf(separator)].find((end) =>
      isCard(found.slice(0, end).replace(/[^0-9]/g, '')),
    )
    if (length !== undefined) yield { start: index, end: index + length, kind: 'card' }
  }
}

const isCard = (digits: string): boolean =>
  NETWORKS.some(([first, lengths]) => lengths.includes(digits.length) && first.test(digits)) && luhn(digits)

function luhn(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i])
    const twice = digit * 2
    sum += i % 2 === 0 ? digit : twice > 9 ? twice - 9 : twice
  }
  return sum % 10 === 0
}

/** Lengths by country, of the registry of ISO 13616. */
const IBAN_LENGTHS: Readonly<Record<string, number>> = Object.assign(Object.create(null), {
  ...{
    AD: 24,
    AE: 23,
    AL: 28,
    AT: 20,
    AZ: 28,
    BA: 20,
    BE: 16,
    BG: 22,
    BH: 22,
    BI: 27,
    BR: 29,
    BY: 28,
    CH: 21,
    CR: 22,
  },
  ...{
    CY: 28,
    CZ: 24,
    DE: 22,
    DJ: 27,
    DK: 18,
    DO: 28,
    EE: 20,
    EG: 29,
    ES: 24,
    FI: 18,
    FK: 18,
    FO: 18,
    FR: 27,
    GB: 22,
    GE: 22,
  },
  ...{
    GI: 23,
    GL: 18,
    GR: 27,
    GT: 28,
    HN: 28,
    HR: 21,
    HU: 28,
    IE: 22,
    IL: 23,
    IQ: 23,
    IS: 26,
    IT: 27,
    JO: 30,
    KW: 30,
  },
  ...{
    KZ: 20,
    LB: 28,
    LC: 32,
    LI: 21,
    LT: 20,
    LU: 20,
    LV: 21,
    LY: 25,
    MC: 27,
    MD: 24,
    ME: 22,
    MK: 19,
    MN: 20,
    MR: 27,
    MT: 31,
  },
  ...{
    MU: 30,
    NI: 28,
    NL: 18,
    NO: 15,
    OM: 23,
    PK: 24,
    PL: 28,
    PS: 29,
    PT: 25,
    QA: 29,
    RO: 24,
    RS: 22,
    RU: 33,
    SA: 24,
    SC: 31,
    SD: 18,
    SE: 24,
  },
  ...{
    SI: 19,
    SK: 24,
    SM: 27,
    SO: 23,
    ST: 25,
    SV: 28,
    TL: 23,
    TN: 24,
    TR: 26,
    UA: 29,
    VA: 22,
    VG: 24,
    XK: 20,
    YE: 30,
  },
})
const IBAN_START = /(?<![A-Za-z0-9])([A-Z]{2})[0-9]{2}(?= ?[A-Z0-9])/g

export const iban: Detector = function* (text) {
  for (const { index, 1: country } of text.matchAll(IBAN_START)) {
    const end = endOfIban(text, index, IBAN_LENGTHS[country as string] ?? 0)
    if (end > 0) yield { start: index, end, kind: 'iban' }
  }
}

/** @returns 0 where what stands there is none */
function endOfIban(text: string, start: number, length: number): number {
  let account = ''
  let at = start
  for (; account.length < length && at < text.length; at++) {
    const character = text[at] as string
    if (/[A-Z0-9]/.test(character)) account += character
    else if (character !== ' ' || text[at - 1] === ' ') return 0
  }
  const whole = length > 0 && account.length === length && !/[A-Za-z0-9]/.test(text[at] ?? '')
  return whole && checks(account) ? at : 0
}

/** ISO 7064, MOD 97-10: letters count from ten on, the first four stand behind. */
function checks(account: string): boolean {
  let rest = 0
  for (const character of account.slice(4) + account.slice(0, 4)) {
    const value = Number.parseInt(character, 36)
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97
  }
  return rest === 1
}
