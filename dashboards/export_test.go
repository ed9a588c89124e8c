package dashboards

// The texts behind "Show SQL", for the tests that run them.
var (
	SQLWorkloads = sqlWorkloads
	SQLDays      = sqlDays
	SQLRejects   = sqlRejects
	SQLRequests  = sqlRequests
)

// SQLLives is the text of the health page.
const SQLLives = sqlLives
