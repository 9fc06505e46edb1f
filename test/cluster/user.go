package cluster

import (
	"errors"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd/api"
)

// User writes a kubeconfig of a user with a client certificate and returns its path. The user may do what RBAC grants to him and his
// groups.
func (c *Cluster) User(name string, groups ...string) string {
	c.tb.Helper()
	return c.ca.kubeconfig("user-"+name, c.url(), c.ca.certified("user-"+name, name, groups...))
}

// WithToken writes a kubeconfig of a user who shows a token and returns its path.
func (c *Cluster) WithToken(file, token string) string {
	c.tb.Helper()
	return c.ca.kubeconfig("token-"+file, c.url(), api.AuthInfo{Token: token})
}

// ServiceAccount creates an account that may do what the rules say, in all namespaces and nothing else, and returns the path of a
// kubeconfig with a token of an hour for it. Rules may be added to an account by calling it again.
func (c *Cluster) ServiceAccount(namespace, name string, rules ...rbacv1.PolicyRule) string {
	c.tb.Helper()
	ctx := c.tb.Context()
	c.Namespace(namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	_, err := c.direct.CoreV1().ServiceAccounts(namespace).Create(ctx, account, metav1.CreateOptions{})
	must(c.tb, unlessExists(err))
	if len(rules) > 0 {
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: namespace + "-" + name + "-"}, Rules: rules}
		role, err = c.direct.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
		must(c.tb, err)
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}}}
		_, err = c.direct.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})
		must(c.tb, err)
	}
	return c.WithToken(namespace+"-"+name, c.Token(namespace, name))
}

// Token requests a token of an hour for a service account.
func (c *Cluster) Token(namespace, name string, audiences ...string) string {
	c.tb.Helper()
	hour := int64(3600)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences, ExpirationSeconds: &hour}}
	answer, err := c.direct.CoreV1().ServiceAccounts(namespace).CreateToken(c.tb.Context(), name, request, metav1.CreateOptions{})
	must(c.tb, err)
	if answer.Status.Token == "" {
		c.tb.Fatal(errors.New("the API server answers with an empty token"))
	}
	return answer.Status.Token
}

func unlessExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
