/** The processes that a supervisor may have beside itself. */
import { z } from 'zod'

const ONE_EACH = [
  'recorder',
  'development-chain',
  'sensor',
  'dns-guard',
  'log-server',
  'witness',
  'witness-client',
] as const

export const ChildName = z.union([z.enum(ONE_EACH), z.templateLiteral(['proxy-', z.number()])])
export type ChildName = z.infer<typeof ChildName>

/** The workers of the proxy are many of a kind. */
export const kindOf = (name: ChildName): (typeof ONE_EACH)[number] | 'proxy' =>
  isWorker(name) ? 'proxy' : name

const isWorker = (name: ChildName): name is `proxy-${number}` => name.startsWith('proxy-')
