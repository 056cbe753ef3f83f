/** Gemini's interactions: steps instead of candidates, a chain by `previous_interaction_id`. */
import { count, details, field, list, present, sum, text } from './fields.ts'
import { settings } from './request-settings.ts'
import { offered, ToolCalls } from './tool-calls.ts'
import type { Found, WireStyle } from './wire-style.ts'

/** Of `status`, those after which nothing comes. */
const OVER = new Set(['completed', 'requires_action', 'failed', 'cancelled', 'incomplete'])

/** The input includes the cache; prompts of the provider's tools stand beside it, thoughts beside the output. */
function usage(value: unknown): Found {
  const input = sum(count(field(value, 'total_input_tokens')), count(field(value, 'total_tool_use_tokens')))
  const said = count(field(value, 'total_output_tokens'))
  const thought = count(field(value, 'total_thought_tokens'))
  const tokens = (key: string, modality: string) => {
    const counted = list(field(value, `${key}_tokens_by_modality`))
    const matching = counted.filter((each) => field(each, 'modality') === modality)
    return counted.length === 0 ? undefined : sum(0, ...matching.map((each) => count(field(each, 'tokens'))))
  }
  const both = (modality: string) => sum(tokens('input', modality), tokens('tool_use', modality))
  return {
    ...present<Found>({
      'gen_ai.usage.input_tokens': input,
      'gen_ai.usage.output_tokens': sum(said, thought),
      'gen_ai.usage.cache_read.input_tokens': count(field(value, 'total_cached_tokens')),
      'gen_ai.usage.reasoning.output_tokens': thought,
    }),
    ...details({
      inputAudio: both('audio'),
      inputImage: both('image'),
      inputVideo: both('video'),
      cacheReadAudio: tokens('cached', 'audio'),
      cacheReadImage: tokens('cached', 'image'),
      outputAudio: tokens('output', 'audio'),
      outputImage: tokens('output', 'image'),
    }),
  }
}

function interaction(body: unknown): Found {
  const status = text(field(body, 'status'))
  return {
    ...present<Found>({
      'gen_ai.response.id': text(field(body, 'id')),
      'gen_ai.response.model': text(field(body, 'model')),
      'gen_ai.response.finish_reasons': status !== undefined && OVER.has(status) ? [status] : undefined,
    }),
    ...usage(field(body, 'usage')),
  }
}

/** `function_call`, `mcp_server_tool_call`; the provider's own tools (`google_search_call`, …) have no name. */
function noteStep(calls: ToolCalls, step: unknown): void {
  const type = text(field(step, 'type'))
  if (type?.endsWith('_call'))
    calls.note(text(field(step, 'name')) ?? type.slice(0, -'_call'.length), text(field(step, 'id')))
}

export const geminiInteractions: WireStyle = {
  request(body) {
    const config = field(body, 'generation_config')
    return {
      ...present<Found>({ previousResponse: text(field(body, 'previous_interaction_id')) }),
      ...settings({
        model: field(body, 'model'),
        stream: field(body, 'stream'),
        maxTokens: field(config, 'max_output_tokens'),
        temperature: field(config, 'temperature'),
        topP: field(config, 'top_p'),
        seed: field(config, 'seed'),
      }),
      ...offered(
        list(field(body, 'tools')).map((tool) => text(field(tool, 'name')) ?? text(field(tool, 'type'))),
      ),
    }
  },
  response(body) {
    const calls = new ToolCalls()
    for (const step of list(field(body, 'steps'))) noteStep(calls, step)
    return { ...interaction(body), ...calls.found() }
  },
  stream() {
    const calls = new ToolCalls()
    let found: Found = {}
    return {
      event(data) {
        // interaction.created, .completed carry it.
        found = { ...found, ...interaction(field(data, 'interaction')) }
        if (field(data, 'event_type') === 'step.start') noteStep(calls, field(data, 'step'))
        return field(data, 'event_type') === 'step.delta'
      },
      found: () => ({ ...found, ...calls.found() }),
    }
  },
}
