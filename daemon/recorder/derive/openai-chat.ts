/** OpenAI chat completions, completions and embeddings, and those who speak like them. */
import { count, details, field, list, present, sum, text } from './fields.ts'
import { FinishReasons } from './finish-reasons.ts'
import { settings } from './request-settings.ts'
import { offered, ToolCalls } from './tool-calls.ts'
import type { Found, WireStyle } from './wire-style.ts'

/** `prompt_tokens` includes what was read from the cache or written to it. */
function usage(value: unknown): Found {
  const prompt = count(field(value, 'prompt_tokens'))
  const reasoning =
    count(field(value, 'completion_tokens_details', 'reasoning_tokens')) ??
    // Perplexity
    count(field(value, 'reasoning_tokens'))
  return {
    ...present<Found>({
      'gen_ai.usage.input_tokens': prompt,
      'gen_ai.usage.output_tokens': output(value, prompt, reasoning),
      'gen_ai.usage.cache_read.input_tokens':
        count(field(value, 'prompt_tokens_details', 'cached_tokens')) ??
        // DeepSeek
        count(field(value, 'prompt_cache_hit_tokens')) ??
        // Moonshot
        count(field(value, 'cached_tokens')),
      'gen_ai.usage.cache_creation.input_tokens': count(
        field(value, 'prompt_tokens_details', 'cache_write_tokens'),
      ),
      'gen_ai.usage.reasoning.output_tokens': reasoning,
    }),
    ...details({
      inputAudio: count(field(value, 'prompt_tokens_details', 'audio_tokens')),
      inputImage: count(field(value, 'prompt_tokens_details', 'image_tokens')),
      outputAudio: count(field(value, 'completion_tokens_details', 'audio_tokens')),
      citations: count(field(value, 'citation_tokens')),
    }),
  }
}

/** With the reasoning, which xAI and Perplexity count beside `completion_tokens`: the one's total says so. */
function output(
  value: unknown,
  prompt: number | undefined,
  reasoning: number | undefined,
): number | undefined {
  const completion = count(field(value, 'completion_tokens'))
  const withReasoning = sum(completion, reasoning)
  const total = count(field(value, 'total_tokens'))
  const isApart =
    field(value, 'citation_tokens') !== undefined ||
    (total !== undefined && total === sum(prompt, withReasoning))
  return completion !== undefined && isApart ? withReasoning : completion
}

/** Voyage says a total only, which of embeddings is the input. */
function embedded(body: unknown): Found {
  const usage = field(body, 'usage')
  if (field(body, 'object') !== 'list' || field(usage, 'prompt_tokens') !== undefined) return {}
  return present<Found>({ 'gen_ai.usage.input_tokens': count(field(usage, 'total_tokens')) })
}

function common(body: unknown): Found {
  return {
    ...present<Found>({
      'gen_ai.response.id': text(field(body, 'id')),
      'gen_ai.response.model': text(field(body, 'model')),
    }),
    // Groq puts a stream's usage here.
    ...usage(field(body, 'x_groq', 'usage')),
    ...usage(field(body, 'usage')),
    ...embedded(body),
  }
}

function toolName(tool: unknown): string | undefined {
  return text(field(tool, 'function', 'name')) ?? text(field(tool, 'custom', 'name'))
}

/** What a choice's message or delta calls; a call's later deltas have its index only. */
function noteCalls(calls: ToolCalls, choice: unknown, at: number): void {
  const said = field(choice, 'message') ?? field(choice, 'delta')
  for (const [i, call] of list(field(said, 'tool_calls')).entries()) {
    const index = count(field(call, 'index')) ?? i
    calls.note(toolName(call), text(field(call, 'id')), `${at}.${index}`)
  }
  // Before there were several calls at once.
  calls.note(text(field(said, 'function_call', 'name')), undefined, `${at}.`)
}

function hasOutput(choice: unknown): boolean {
  const delta = field(choice, 'delta')
  return (
    ['content', 'reasoning_content', 'reasoning', 'refusal'].some((key) => text(field(delta, key))) ||
    // Mistral's content is a list where the model thinks.
    ['content', 'tool_calls'].some((key) => list(field(delta, key)).length > 0) ||
    typeof field(delta, 'audio', 'data') === 'string' ||
    text(field(choice, 'text')) !== undefined
  )
}

class Answer {
  readonly #reasons = new FinishReasons()
  readonly #calls = new ToolCalls()
  #found: Found = {}

  /** A whole body, or a chunk of a stream: they differ in the choices only. */
  take(body: unknown): boolean {
    this.#found = { ...this.#found, ...common(body) }
    let output = false
    for (const [i, choice] of list(field(body, 'choices')).entries()) {
      const index = count(field(choice, 'index')) ?? i
      this.#reasons.note(field(choice, 'finish_reason'), index)
      noteCalls(this.#calls, choice, index)
      output ||= hasOutput(choice)
    }
    return output
  }

  found(): Found {
    return { ...this.#found, ...this.#reasons.found(), ...this.#calls.found() }
  }
}

export const openaiChat: WireStyle = {
  request: (body) => ({
    ...settings({
      model: field(body, 'model'),
      stream: field(body, 'stream'),
      maxTokens: field(body, 'max_completion_tokens') ?? field(body, 'max_tokens'),
      temperature: field(body, 'temperature'),
      topP: field(body, 'top_p'),
      frequencyPenalty: field(body, 'frequency_penalty'),
      presencePenalty: field(body, 'presence_penalty'),
      seed: field(body, 'seed') ?? field(body, 'random_seed'),
      choices: field(body, 'n'),
    }),
    ...offered([
      ...list(field(body, 'tools')).map(toolName),
      ...list(field(body, 'functions')).map((tool) => text(field(tool, 'name'))),
    ]),
  }),
  response(body) {
    const answer = new Answer()
    answer.take(body)
    return answer.found()
  },
  stream() {
    const answer = new Answer()
    return { event: (data) => answer.take(data), found: () => answer.found() }
  },
}
