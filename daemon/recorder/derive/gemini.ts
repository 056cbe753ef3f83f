/** Gemini's generateContent, on generativelanguage.googleapis.com, on Vertex, and wrapped for Gemini CLI. */
import { count, details, field, list, present, sum, text } from './fields.ts'
import { FinishReasons } from './finish-reasons.ts'
import { settings } from './request-settings.ts'
import { offered, ToolCalls } from './tool-calls.ts'
import type { Found, WireStyle } from './wire-style.ts'

/**
 * `promptTokenCount` includes the cache, the prompts of the provider's own tools stand beside it; thoughts stand beside
 * what candidates say. Live sessions name the output differently.
 */
export function geminiUsage(value: unknown): Found {
  const prompt = count(field(value, 'promptTokenCount'))
  const said = count(field(value, 'candidatesTokenCount')) ?? count(field(value, 'responseTokenCount'))
  const thought = count(field(value, 'thoughtsTokenCount'))
  return {
    ...present<Found>({
      'gen_ai.usage.input_tokens': sum(prompt, count(field(value, 'toolUsePromptTokenCount'))),
      'gen_ai.usage.output_tokens': sum(said, thought),
      'gen_ai.usage.cache_read.input_tokens': count(field(value, 'cachedContentTokenCount')),
      'gen_ai.usage.reasoning.output_tokens': thought,
    }),
    ...modalities(value),
  }
}

/** What is not text. A modality that a list doesn't have counts nothing. */
function modalities(value: unknown): Found {
  const tokens = (key: string, ...wanted: string[]) => {
    const counted = list(field(value, key))
    const matching = counted.filter((each) => wanted.includes(text(field(each, 'modality')) ?? ''))
    if (counted.length === 0) return undefined
    return sum(0, ...matching.map((each) => count(field(each, 'tokenCount'))))
  }
  const both = (key: string, tool: string, ...wanted: string[]) =>
    sum(tokens(key, ...wanted), tokens(tool, ...wanted))
  const said = list(field(value, 'candidatesTokensDetails')).length > 0 ? 'candidates' : 'response'
  return details({
    inputAudio: both('promptTokensDetails', 'toolUsePromptTokensDetails', 'AUDIO'),
    inputImage: both('promptTokensDetails', 'toolUsePromptTokensDetails', 'IMAGE', 'DOCUMENT'),
    cacheReadAudio: tokens('cacheTokensDetails', 'AUDIO'),
    cacheReadImage: tokens('cacheTokensDetails', 'IMAGE', 'DOCUMENT'),
    outputAudio: tokens(`${said}TokensDetails`, 'AUDIO'),
    outputImage: tokens(`${said}TokensDetails`, 'IMAGE'),
  })
}

/** Function declarations by name, the provider's own tools by their key: `googleSearch`. */
export function geminiTools(tools: unknown): Found {
  return offered(
    list(tools).flatMap((tool) => {
      const declared = list(field(tool, 'functionDeclarations'))
      if (declared.length > 0) return declared.map((each) => text(field(each, 'name')))
      return typeof tool === 'object' && tool !== null ? Object.keys(tool).slice(0, 8) : [undefined]
    }),
  )
}

export function geminiSettings(config: unknown): Found {
  return settings({
    maxTokens: field(config, 'maxOutputTokens'),
    temperature: field(config, 'temperature'),
    topP: field(config, 'topP'),
    topK: field(config, 'topK'),
    frequencyPenalty: field(config, 'frequencyPenalty'),
    presencePenalty: field(config, 'presencePenalty'),
    seed: field(config, 'seed'),
    choices: field(config, 'candidateCount'),
  })
}

class Answer {
  readonly #reasons = new FinishReasons()
  readonly #calls = new ToolCalls()
  #found: Found = {}

  take(data: unknown): boolean {
    // Gemini CLI's service puts the answer into an envelope.
    const body = field(data, 'response') ?? data
    this.#found = {
      ...this.#found,
      ...present<Found>({
        'gen_ai.response.id': text(field(body, 'responseId')),
        'gen_ai.response.model': text(field(body, 'modelVersion')),
      }),
      ...geminiUsage(field(body, 'usageMetadata')),
    }
    let output = false
    for (const [i, candidate] of list(field(body, 'candidates')).entries()) {
      this.#reasons.note(field(candidate, 'finishReason'), count(field(candidate, 'index')) ?? i)
      for (const part of list(field(candidate, 'content', 'parts'))) {
        output = true
        const call = field(part, 'functionCall')
        this.#calls.note(text(field(call, 'name')), text(field(call, 'id')))
        // The provider's own
        const code = field(part, 'executableCode')
        if (code !== undefined) this.#calls.note('codeExecution', text(field(code, 'id')))
        const tool = field(part, 'toolCall')
        this.#calls.note(text(field(tool, 'toolType')), text(field(tool, 'id')))
      }
    }
    const blocked = text(field(body, 'promptFeedback', 'blockReason'))
    if (blocked !== undefined) this.#reasons.note(blocked)
    return output
  }

  found(): Found {
    return { ...this.#found, ...this.#reasons.found(), ...this.#calls.found() }
  }
}

export const gemini: WireStyle = {
  request(data) {
    const body = field(data, 'request') ?? data
    return {
      // Gemini CLI's service
      ...present<Found>({ 'gen_ai.conversation.id': text(field(body, 'session_id')) }),
      ...settings({ model: field(data, 'model') }),
      ...geminiSettings(field(body, 'generationConfig')),
      ...geminiTools(field(body, 'tools')),
    }
  },
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
