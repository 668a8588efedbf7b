import { ApiError } from "../api/errors.ts";
import { listProjects, projectById } from "./reads.ts";
import { adminRoute } from "./route.ts";
import * as schemas from "./schemas.ts";
import { showPage, showProject } from "./shapes.ts";
import { requireTenant } from "./tenants.ts";
import { createProject, updateProject } from "./writes.ts";

const PROJECTS = "/tenants/{tenant}/projects";

const list = adminRoute({
  method: "get",
  path: PROJECTS,
  operationId: "listProjects",
  summary: "Lists a tenant's projects.",
  action: "read",
  resource: "projects",
  query: schemas.pageQuery,
  response: schemas.listOf("ProjectList", schemas.projectObject),
  async handle(call) {
    const { after = "", limit } = call.query;
    const tenant = await requireTenant(call);
    const page = { after, limit: limit + 1 };
    const stored = await call.database.use((db) => listProjects(db, tenant, page));
    return showPage(stored, limit, showProject);
  },
});

const create = adminRoute({
  method: "post",
  path: PROJECTS,
  operationId: "createProject",
  summary: "Makes a project.",
  action: "write",
  resource: "projects",
  body: schemas.createProjectRequest,
  response: schemas.projectObject,
  status: 201,
  errors: ["conflict"],
  async handle(call) {
    const { id, name } = call.body;
    const tenant = await requireTenant(call);
    call.about(`${tenant}/${id}`);
    const project = await call.database.use((db) => createProject(db, { tenant, id, name }));
    if (project) return showProject(project);
    throw new ApiError("conflict", { message: "There is a project of this id.", param: "id" });
  },
});

const retrieve = adminRoute({
  method: "get",
  path: `${PROJECTS}/{project}`,
  operationId: "retrieveProject",
  summary: "Answers with a project.",
  action: "read",
  resource: "projects",
  response: schemas.projectObject,
  async handle({ database, params: { tenant = "", project = "" } }) {
    const stored = await database.use((db) => projectById(db, tenant, project));
    if (!stored) throw new ApiError("not_found");
    return showProject(stored);
  },
});

const update = adminRoute({
  method: "patch",
  path: `${PROJECTS}/{project}`,
  operationId: "updateProject",
  summary: "Changes a project, or disables it and all of its keys.",
  action: "write",
  resource: "projects",
  body: schemas.updateProjectRequest,
  response: schemas.projectObject,
  errors: ["conflict"],
  async handle({ database, gateway, params: { tenant = "", project: id = "" }, body }) {
    const stored = await database.use((db) => projectById(db, tenant, id));
    if (!stored) throw new ApiError("not_found");
    const { name = stored.name, disabled = stored.disabled_at !== null, version } = body;
    const changed = await database.use((db) =>
      updateProject(db, { tenant, id, version }, { name, disabled }),
    );
    if (!changed) throw new ApiError("conflict");
    await gateway.directory.catchUp();
    return showProject(changed);
  },
});

export const PROJECT_ROUTES = [list, create, retrieve, update];
