/** Bytes that count as a token before a model has counted: text in most languages has 3 to 5. */
export const BYTES_PER_TOKEN = 4;
/** What a part that is no text counts as; its bytes say nothing of its tokens. */
const TOKENS_PER_MEDIUM = 1_000;
const MEDIA = new Set([
  "image_url",
  "input_image",
  "image",
  "input_audio",
  "audio_url",
  "audio",
  "video_url",
  "video",
  "input_file",
  "file",
]);

/** Bytes of the text in a request or an answer, with media as what they count instead. */
export function textBytes(root: unknown): number {
  let bytes = 0;
  // Clients nest as deep as they like: a function that called itself for each level would run out of stack.
  const left = [root];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value === "string") bytes += Buffer.byteLength(value);
    // In a list of numbers each is a token.
    else if (typeof value === "number") bytes += BYTES_PER_TOKEN;
    else if (typeof value === "object" && value !== null) {
      if ("type" in value && MEDIA.has(String(value.type))) bytes += TOKENS_PER_MEDIUM * BYTES_PER_TOKEN;
      else for (const part of Object.values(value)) left.push(part);
    }
  }
  return bytes;
}
