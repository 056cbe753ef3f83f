/** What a request's head alone tells of what is asked for: of whom rules say that it may be, and of which model. */
import { messageStyleOf, modelsInQuery } from './message-style.ts'
import { operationsOf } from './operation.ts'

export interface AskedByHead {
  /** OpenTelemetry's names of operations, in each way to read the path. */
  readonly operations: readonly string[]
  /** Models that the path names, or the query of a WebSocket's handshake. */
  readonly pathModels: readonly string[]
}

/** @param isWebSocket a chat where its messages are known  @param before the model that a message before it named */
export function askedByHead(
  method: string,
  target: string,
  style: string | undefined,
  isWebSocket: boolean,
  before?: string,
): AskedByHead {
  const readings = operationsOf(method, target, style)
  const operations = readings.flatMap(({ name }) => name ?? [])
  const pathModels = readings.flatMap(({ model }) => model ?? [])
  if (!isWebSocket) return { operations, pathModels }
  const named = before === undefined ? modelsInQuery(target) : [before]
  return {
    operations: operations.length === 0 && messageStyleOf(target) ? ['chat'] : operations,
    pathModels: pathModels.length === 0 ? named : pathModels,
  }
}

const OVERRIDES = ['x-http-method-override', 'x-http-method', 'x-method-override']

/** Methods for which a request asks to be taken. @param field values of a header field by its lower-case name */
export const methodOverrides = (field: (name: string) => readonly string[] | undefined): string[] =>
  OVERRIDES.flatMap((name) => field(name) ?? []).map((value) => value.trim())
