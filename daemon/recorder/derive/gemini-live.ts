/** Gemini's Live sessions (BidiGenerateContent). The first message of the client has the model. */
import { field, list, text } from './fields.ts'
import { FinishReasons } from './finish-reasons.ts'
import { geminiSettings, geminiTools, geminiUsage } from './gemini.ts'
import { settings } from './request-settings.ts'
import { ToolCalls } from './tool-calls.ts'
import type { Found, WireStyle } from './wire-style.ts'

export const geminiLive: WireStyle = {
  request(message) {
    const setup = field(message, 'setup')
    return {
      ...settings({ model: text(field(setup, 'model'))?.replace(/^.*\bmodels\//, '') }),
      ...geminiSettings(field(setup, 'generationConfig')),
      ...geminiTools(field(setup, 'tools')),
    }
  },
  response: () => ({}),
  stream() {
    const calls = new ToolCalls()
    const reasons = new FinishReasons()
    let found: Found = {}
    return {
      event(data) {
        const content = field(data, 'serverContent')
        const called = list(field(data, 'toolCall', 'functionCalls'))
        for (const call of called) calls.note(text(field(call, 'name')), text(field(call, 'id')))
        if (field(content, 'turnComplete') === true) reasons.note('turnComplete')
        if (field(content, 'interrupted') === true) reasons.note('interrupted')
        found = { ...found, ...geminiUsage(field(data, 'usageMetadata')) }
        return called.length > 0 || list(field(content, 'modelTurn', 'parts')).length > 0
      },
      found: () => ({ ...found, ...reasons.found(), ...calls.found() }),
    }
  },
}
