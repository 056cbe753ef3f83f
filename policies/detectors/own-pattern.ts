/**
 * Patterns that an administrator wrote, by RE2's automata: time linear in the text whatever the pattern is, so that no
 * pattern together with an agent's text can stop a worker. Loaded when there is one: the engine costs 6 MB.
 */
import { createRequire } from 'node:module'
import { messageOf } from '../../daemon/base/errors.ts'
import type { Detector, Match } from './detector.ts'

/**
 * Each byte of a text may take each step that a pattern has: what `(a?){300}a{300}` becomes would hold a worker for
 * minutes over one body. Words written out are cheap; what multiplies is a count.
 */
const stepsFor = (pattern: string): number => 128 + 2 * pattern.length

const require = createRequire(import.meta.url)
const engine = (): typeof import('re2js').RE2JS => require('re2js').RE2JS

/** What is wrong with a pattern, and what to do; undefined where nothing is. */
export function patternProblem(pattern: string): string | undefined {
  try {
    const compiled = engine().compile(pattern)
    if (compiled.matches('') || compiled.matcher('').find())
      return 'this matches empty text: ask for one character at least'
    if (compiled.programSize() > stepsFor(pattern))
      return 'this counts too far for text of any length: write smaller counts, or `{20,}` for `{20,500}`'
    return undefined
  } catch (error) {
    return `this is no RE2 pattern (${messageOf(error)}); look-around and back-references don't exist there`
  }
}

/**
 * One search is linear in the text, but what looks far ahead in vain (`x[^z]*y|x`) does so from each of its matches. Where
 * that takes many times what a text of this length takes otherwise, the rest of it is taken for a match as a whole:
 * nothing is passed for lack of time. Of this thread's own time: a busy machine finds no more than an idle one.
 */
const mostMs = (text: string): number => 1000 + text.length / 8000

function threadMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** @param pattern that {@link patternProblem} finds nothing wrong with */
export function ownPattern(name: string, pattern: string): Detector {
  const compiled = engine().compile(pattern)
  return function* (text): Generator<Match> {
    const matcher = compiled.matcher(text)
    const until = threadMs() + mostMs(text)
    while (matcher.find()) {
      if (threadMs() > until) {
        yield { start: matcher.start(), end: text.length, kind: name }
        return
      }
      if (matcher.end() > matcher.start()) yield { start: matcher.start(), end: matcher.end(), kind: name }
    }
  }
}
