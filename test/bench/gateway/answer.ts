// What the models of the benchmark answer.

const WORDS = 20;

export const MODEL = "bench";
export const USAGE = { prompt_tokens: 8, completion_tokens: WORDS, total_tokens: 8 + WORDS };

export const ANSWER = JSON.stringify({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1,
  model: MODEL,
  choices: [
    { index: 0, message: { role: "assistant", content: "word ".repeat(WORDS) }, finish_reason: "stop" },
  ],
  usage: USAGE,
});

function event(rest: object): string {
  const chunk = { id: "chatcmpl-bench", object: "chat.completion.chunk", created: 1, model: MODEL, ...rest };
  return `data: ${JSON.stringify(chunk)}\n\n`;
}

export const WORD = event({ choices: [{ index: 0, delta: { content: "word " }, finish_reason: null }] });
const LAST = event({ choices: [{ index: 0, delta: { content: "word " }, finish_reason: "stop" }] });
export const END = `${LAST}${event({ choices: [], usage: USAGE })}data: [DONE]\n\n`;
