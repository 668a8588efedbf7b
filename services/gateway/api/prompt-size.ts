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
    const own = ownBytes(value);
    if (own !== undefined) bytes += own;
    else for (const part of Object.values(value as object)) left.push(part);
  }
  return bytes;
}

/** Undefined for what counts by its parts. */
function ownBytes(value: unknown): number | undefined {
  if (typeof value === "string") return Buffer.byteLength(value);
  // In a list of numbers each is a token.
  if (typeof value === "number") return BYTES_PER_TOKEN;
  if (typeof value !== "object" || value === null) return 0;
  return "type" in value && MEDIA.has(String(value.type)) ? TOKENS_PER_MEDIUM * BYTES_PER_TOKEN : undefined;
}
