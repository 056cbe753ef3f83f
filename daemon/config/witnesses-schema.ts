/** `ledger.witnesses` of gateway.yaml, and the verifier keys of logs and witnesses. */
import { z } from 'zod'
import { messageOf } from '../base/errors.ts'
import { COSIGNATURE, ED25519, parseVerifierKey } from '../ledger/note.ts'
import { httpUrl } from './http-url.ts'

/** `name+id+key` of a log or of a witness (c2sp.org/signed-note, c2sp.org/tlog-cosignature). */
const verifierKey = (type: typeof ED25519 | typeof COSIGNATURE) =>
  z.string().superRefine((text, context) => {
    try {
      parseVerifierKey(text, type)
    } catch (error) {
      context.addIssue({ code: 'custom', message: messageOf(error) })
    }
  })

export const logVerifierKey = verifierKey(ED25519)

export const Witnesses = z
  .strictObject({
    atLeast: z.int().min(1),
    of: z
      .array(z.strictObject({ url: httpUrl, key: verifierKey(COSIGNATURE) }))
      .min(1)
      .max(16)
      .refine((all) => new Set(all.map(({ key }) => key)).size === all.length, {
        error: 'a witness stands here twice: each counts once',
      }),
  })
  .refine(({ atLeast, of }) => atLeast <= of.length, {
    error: 'there are fewer witnesses than `atLeast` asks for',
    path: ['atLeast'],
  })
