/** OpenAI's pictures, transcriptions and moderations. Forms (multipart) aren't read: their answers have the counts. */
import { count, details, field, present, text } from './fields.ts'
import { settings } from './request-settings.ts'
import type { Found, WireStyle } from './wire-style.ts'

function answer(body: unknown): Found {
  const usage = field(body, 'usage')
  // Pictures have it in the plural.
  const input = field(usage, 'input_token_details') ?? field(usage, 'input_tokens_details')
  return {
    ...present<Found>({
      'gen_ai.response.id': text(field(body, 'id')),
      'gen_ai.response.model': text(field(body, 'model')),
      'gen_ai.usage.input_tokens': count(field(usage, 'input_tokens')),
      'gen_ai.usage.output_tokens': count(field(usage, 'output_tokens')),
    }),
    ...details({
      inputAudio: count(field(input, 'audio_tokens')),
      inputImage: count(field(input, 'image_tokens')),
      outputImage: count(field(usage, 'output_tokens_details', 'image_tokens')),
    }),
  }
}

export const openaiMedia: WireStyle = {
  request: (body) =>
    settings({ model: field(body, 'model'), stream: field(body, 'stream'), choices: field(body, 'n') }),
  response: answer,
  stream() {
    let found: Found = {}
    return {
      event(data) {
        found = { ...found, ...answer(data) }
        return /\.(?:delta|partial_image)$/.test(text(field(data, 'type')) ?? '')
      },
      found: () => found,
    }
  },
}
