/** What the supervisor says of the CA in `supervisor.json`. */
import { z } from 'zod'

const Time = z.iso.datetime()

export const AuthorityState = z.object({
  /** The one that signs first; two while a rotation is under way. */
  certificates: z.array(z.object({ sha256: z.string(), notBefore: Time, notAfter: Time })),
  /** Domains of the policy that neither it nor its successor may speak for. */
  outgrown: z.array(z.string()),
  /** It may speak for every site, though the policy doesn't intercept all. */
  tooWide: z.boolean(),
  rotation: z
    .object({
      step: z.enum(['introduced', 'distributed', 'signing']),
      /** When that step was taken. */
      since: Time,
      /** When the overlap that begins with that step ends. */
      due: Time,
    })
    .exactOptional(),
})
export type AuthorityState = z.infer<typeof AuthorityState>
