/** `agent-anchor policy validate [FILE…]`: what is wrong in each, where, and what to do. */
import { AnchorError } from '../../daemon/base/errors.ts'
import type { Config } from '../../daemon/config/config.ts'
import { PolicyError } from '../../policies/policy-error.ts'
import { printable } from '../terminal.ts'
import { validated } from './files.ts'

export interface Validation {
  /** As named. */
  readonly file: string
  readonly valid: boolean
  /** What it is, or what is wrong with it. */
  readonly message: string
  readonly remedy?: string
  readonly problems?: PolicyError['problems']
}

/** @param words files or names; the policy in force where there are none */
export function validateAll(config: Config, words: readonly string[]): Validation[] {
  const named = words.length > 0 ? words : [config.policy]
  return named.map((file) => {
    try {
      return { file, valid: true, message: validated(file, config.policiesDir) }
    } catch (error) {
      if (!(error instanceof AnchorError)) throw error
      const problems = error instanceof PolicyError ? error.problems : []
      return { file, valid: false, message: error.message, remedy: error.remedy, problems }
    }
  })
}

export function validationText(found: readonly Validation[]): string {
  const lines = found.map(({ file, valid, message, remedy }) =>
    valid ? `${file}: ${message}` : `${message}\n${remedy ?? ''}`,
  )
  return lines.join('\n').split('\n').map(printable).join('\n')
}
