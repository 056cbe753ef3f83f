/** What requests and responses say, and whose they are, as one Derived. */
import type { Derived } from '../derived.ts'
import { costOf } from './cost.ts'
import { telemetryNameOf } from './telemetry-name.ts'
import type { Found } from './wire-style.ts'

export interface Origin {
  /** Catalogue id. */
  readonly provider: string
  readonly telemetryName?: string | undefined
  /** Milliseconds since the epoch: prices change. */
  readonly time: number
}

export interface Part extends Found {
  /** Why there is no more. */
  unparsed?: string
}

/** Says of a response wins over what its request says. */
export function combined({ provider, telemetryName, time }: Origin, request: Part, response: Part): Derived {
  const name = telemetryName ?? telemetryNameOf(provider)
  const unparsed = response.unparsed ?? request.unparsed
  const found = { ...request, ...response }
  const reported =
    found['gen_ai.usage.input_tokens'] !== undefined || found['gen_ai.usage.output_tokens'] !== undefined
  const cost = costOf(name, found, time)
  return {
    ...found,
    'gen_ai.provider.name': name,
    usageSource: reported ? 'reported' : 'none',
    ...(cost !== undefined && { cost }),
    ...(unparsed !== undefined && { unparsed }),
  }
}
