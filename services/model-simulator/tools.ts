import { badParameter, badRequest, type FieldProblem, invalidFields } from "./errors.ts";
import { collectFields, isObject, type JsonObject } from "./fields.ts";
import { newId } from "./identity.ts";
import { exactly, type Source } from "./language.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import { instanceWriter } from "./schema.ts";

interface Tool {
  readonly name: string;
  readonly parameters: unknown;
}

/** How the answer calls a tool. */
export interface ToolChoice {
  readonly tool: Tool;
  /** The call's arguments as JSON text. */
  readonly write: (random: Random) => string;
  /** The client named the tool, so that the answer is the arguments alone. */
  readonly named: boolean;
}

export interface ToolSettings {
  readonly enableAutoToolChoice: boolean;
  readonly toolCallParser: string | undefined;
}

function readTools(tools: readonly unknown[]): Tool[] {
  const problems: FieldProblem[] = [];
  const read = tools.map((tool, index) => {
    const loc = `body.tools.${index}`;
    const definition = isObject(tool) ? tool.function : undefined;
    if (!isObject(definition)) {
      problems.push({ type: "missing", loc: `${loc}.function`, msg: "Field required", input: tool });
      return { name: "", parameters: undefined };
    }
    const spec = { name: "string", parameters: "object" } as const;
    const fields = collectFields(definition, spec, { loc: `${loc}.function`, required: ["name"], problems });
    return { name: fields.name ?? "", parameters: fields.parameters };
  });
  if (problems.length > 0) throw invalidFields(problems);
  return read;
}

// A tool that the question's words point to, else the first.
function toolFor(question: string, tools: readonly [Tool, ...Tool[]]): Tool {
  const words = new Set(question.toLowerCase().match(/\p{L}+/gu) ?? []);
  const named = tools.find(({ name }) =>
    name
      .toLowerCase()
      .split(/[^\p{L}]+/u)
      .some((part) => words.has(part)),
  );
  return named ?? tools[0];
}

function namedTool(choice: JsonObject, tools: readonly Tool[], settings: ToolSettings): Tool {
  const definition = choice.function;
  const name = isObject(definition) ? definition.name : undefined;
  const tool = tools.find((candidate) => candidate.name === name);
  if (tool === undefined) {
    throw badParameter(
      "The tool specified in `tool_choice` does not match any of the specified `tools`",
      "tool_choice",
    );
  }
  if (settings.toolCallParser === undefined) {
    throw badRequest(`tool_choice=function "${tool.name}" requires --tool-call-parser to be set`);
  }
  return tool;
}

function choiceOf(tool: Tool, named: boolean): ToolChoice {
  return { tool, named, write: instanceWriter(tool.parameters) };
}

export interface ToolFields {
  readonly tools: readonly unknown[] | undefined;
  readonly tool_choice: unknown;
}

/**
 * The call that the answer is, if it is one. After a tool's result the answer to "auto" is text. Throws the 400 of a
 * tool whose parameters no arguments can meet.
 */
export function readToolChoice(
  { tools, tool_choice: choice }: ToolFields,
  conversation: { readonly question: string; readonly hasToolResult: boolean },
  settings: ToolSettings,
): ToolChoice | undefined {
  const [first, ...rest] = readTools(tools ?? []);
  if (first === undefined) {
    if (choice === undefined || choice === "none") return undefined;
    throw badParameter("When using `tool_choice`, `tools` must be set.", "tool_choice");
  }
  if (choice === "none") return undefined;
  if (isObject(choice)) return choiceOf(namedTool(choice, [first, ...rest], settings), true);
  const tool = toolFor(conversation.question, [first, ...rest]);
  if (choice === "required") {
    if (settings.toolCallParser !== undefined) return choiceOf(tool, false);
    throw badRequest('tool_choice="required" requires --tool-call-parser to be set');
  }
  if (choice !== undefined && choice !== "auto") {
    throw badParameter(`Invalid value for \`tool_choice\`: ${String(choice)}!`, "tool_choice");
  }
  if (!settings.enableAutoToolChoice) {
    throw badRequest(
      '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    );
  }
  return conversation.hasToolResult ? undefined : choiceOf(tool, false);
}

const TEXT_END = "}\n</tool_call>";

/** The text of one tool call as the model writes it, and which part of it is the arguments. */
export class ToolCallText {
  readonly id = newId("chatcmpl-tool-");
  readonly name: string;
  readonly named: boolean;
  readonly #before: string;
  readonly #arguments: string;
  readonly #after: string;

  constructor({ tool, named, write }: ToolChoice, random: Random) {
    this.name = tool.name;
    this.named = named;
    this.#before = named ? "" : `<tool_call>\n{"name": ${JSON.stringify(tool.name)}, "arguments": `;
    this.#arguments = write(random);
    this.#after = named ? "" : TEXT_END;
  }

  get source(): Source {
    return exactly(this.#before + this.#arguments + this.#after);
  }

  /** The arguments within these characters of the text; undefined while the name is not complete. */
  argumentsWithin(from: number, to: number): string | undefined {
    const start = this.#before.length;
    if (to < start) return undefined;
    return this.#arguments.slice(Math.max(0, from - start), Math.max(0, to - start));
  }

  /** The call in a whole answer; undefined where the answer broke off inside it and it stays text. */
  parse(text: string, plan: Plan) {
    const complete = plan.finishReason === "stop" && plan.stopReason === null;
    if (!complete && !this.named) return undefined;
    const found = this.named ? text : this.#arguments;
    return { id: this.id, type: "function", function: { name: this.name, arguments: found } };
  }
}
